-- name: expressions
-- Each policy of the blueprint, its expressions, and the columns that it refers to.
select p.oid::bigint as id, format('%%I on %%s', p.polname, p.polrelid::regclass) as name,
       c.relname::text as bare_table,
       case when p.polcmd <> 'a' then pg_get_expr(p.polqual, p.polrelid) end as condition,
       pg_get_expr(p.polwithcheck, p.polrelid) as check_says,
       coalesce((
           select jsonb_agg(distinct jsonb_build_object(
               'table_id', a.attrelid::bigint, 'table', a.attrelid::regclass, 'number', a.attnum,
               'name', a.attname, 'is_own', a.attrelid = p.polrelid))
           from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
           where d.classid = 'pg_policy'::regclass and d.objid = p.oid
             and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
       ), '[]') as columns
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname <> all(%(foreign_schemas)s)
order by p.oid

-- name: leading_columns
-- The columns with which some index of their table begins.
select distinct i.indrelid::bigint as table_id, i.indkey[0]::integer as number
from pg_index i where i.indisvalid and i.indkey[0] <> 0
