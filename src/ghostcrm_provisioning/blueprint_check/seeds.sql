-- name: rows_written
-- Rows that this session has written, table by table, as PostgreSQL counts them while it writes. Only
-- the difference between two looks means something.
select relid::pg_catalog.regclass::text as name, n_tup_ins as inserted, n_tup_upd as updated,
       n_tup_del as deleted
from pg_catalog.pg_stat_xact_user_tables
