-- name: read_rows
select coalesce(json_agg(row_to_json(r)), '[]')::text as rows
from (select {columns} from {table} where {conditions} {order} limit {limit} offset {offset}) r

-- name: described_relations
-- What PostgREST describes to whoever asks: that on which they may do something, as far as grants go.
select c.relname as name
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and (has_table_privilege(c.oid, 'select, insert, update, delete')
       or has_any_column_privilege(c.oid, 'select, insert, update'))
order by c.relname

-- name: described_functions
select distinct p.proname as name
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname = %(schema)s and p.prokind = 'f'
  and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
  and has_function_privilege(p.oid, 'execute')
order by p.proname
