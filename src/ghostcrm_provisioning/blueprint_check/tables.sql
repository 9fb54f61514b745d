-- name: tables
-- Tables and materialized views of the blueprint, and what a later statement may change about them.
select c.oid::bigint as id, format('%%I.%%I', n.nspname, c.relname) as name, c.relkind::text as kind, c.relfilenode::bigint as file,
       coalesce((
           select jsonb_object_agg(a.attnum, jsonb_build_object(
               'name', a.attname, 'type', format('%%s %%s', a.atttypid, a.atttypmod),
               'not_null', a.attnotnull, 'has_value', a.atthasdef or a.attidentity <> '',
               'generated', a.attgenerated <> ''))
           from pg_catalog.pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       ), '{}') as columns,
       coalesce((
           select jsonb_object_agg(k.oid, jsonb_build_object(
               'name', k.conname, 'type', k.contype, 'valid', k.convalidated, 'index', k.conindid::bigint,
               'columns', k.conkey,
               'other', (select format('%%I.%%I', o.relnamespace::regnamespace, o.relname)
                         from pg_catalog.pg_class o where o.oid = k.confrelid),
               'says', pg_catalog.pg_get_constraintdef(k.oid)))
           from pg_catalog.pg_constraint k
           where k.conrelid = c.oid and k.contype in ('c', 'f', 'p', 'u', 'x', 'n')
       ), '{}') as constraints,
       coalesce((
           select jsonb_object_agg(i.indexrelid::bigint, jsonb_build_object(
               'name', format('%%I.%%I', n.nspname, r.relname), 'file', r.relfilenode::bigint))
           from pg_catalog.pg_index i join pg_catalog.pg_class r on r.oid = i.indexrelid
           where i.indrelid = c.oid
       ), '{}') as indexes,
       coalesce((
           select array_agg(l.mode)
           from pg_catalog.pg_locks l
           where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and l.granted
             and l.relation = c.oid
             and l.database = (select d.oid from pg_catalog.pg_database d
                               where d.datname = pg_catalog.current_database())
       ), '{}') as locks
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'ghostcrm_provisioning', 'supabase_migrations')
  and (%(only)s::bigint[] is null or c.oid = any(%(only)s::bigint[]::oid[]))
