-- name: list_tables
-- Tables and views of the schema, with what they are for.
select c.relname as name, c.relkind in ('v', 'm') as is_view,
       coalesce(obj_description(c.oid, 'pg_class'), '') as comment
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
order by c.relname

-- name: list_columns
-- In the order of the table; and whether signed-in users may give them a value.
select c.relname as table_name, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
       not a.attnotnull as nullable, a.attgenerated <> '' as computed, a.attidentity <> '' as numbered,
       pg_get_expr(d.adbin, d.adrelid, true) as expression,
       coalesce(col_description(c.oid, a.attnum), '') as comment,
       has_column_privilege('authenticated', c.oid, a.attnum, 'INSERT') as insertable,
       has_column_privilege('authenticated', c.oid, a.attnum, 'UPDATE') as updatable
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
order by c.relname, a.attnum

-- name: list_constraints
-- What each row must fulfil; NOT NULL stands with the column. A target outside of the schema is none.
select c.relname as table_name, con.conname as name, con.contype::text as kind,
       pg_get_constraintdef(con.oid, true) as definition, target.relname as target,
       coalesce((
           select array_agg(a.attname order by k.position)
           from unnest(con.conkey) with ordinality as k (number, position)
           join pg_attribute a on a.attrelid = con.conrelid and a.attnum = k.number
       ), '{}')::text[] as columns
from pg_constraint con
join pg_class c on c.oid = con.conrelid
left join pg_class target on target.oid = con.confrelid and target.relnamespace = c.relnamespace
where c.relnamespace = 'public'::regnamespace and con.contype in ('p', 'u', 'c', 'f', 'x')
order by c.relname, array_position(array['p', 'u', 'x', 'f', 'c'], con.contype::text), con.conname

-- name: list_indexes
-- Those that no constraint has made.
select c.relname as table_name, i.relname as name, x.indisunique as is_unique,
       pg_get_indexdef(i.oid, 0, true) as definition
from pg_index x
join pg_class c on c.oid = x.indrelid
join pg_class i on i.oid = x.indexrelid
where c.relnamespace = 'public'::regnamespace
  and not exists (select from pg_constraint con where con.conindid = i.oid and con.contype <> 'f')
order by c.relname, i.relname

-- name: list_policies
select c.relname as table_name, p.polname as name,
       case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
           when 'd' then 'delete' else 'all' end as operation,
       coalesce((
           select array_agg(coalesce(r.rolname, 'public') order by r.rolname)
           from unnest(p.polroles) as role_ left join pg_roles r on r.oid = role_
       ), '{}')::text[] as roles,
       pg_get_expr(p.polqual, p.polrelid, true) as condition,
       pg_get_expr(p.polwithcheck, p.polrelid, true) as check_condition
from pg_policy p
join pg_class c on c.oid = p.polrelid
where c.relnamespace = 'public'::regnamespace
order by c.relname, array_position(array['r', 'a', 'w', 'd', '*'], p.polcmd::text), p.polname

-- name: list_functions
-- Those that signed-in users may execute.
select p.proname as name, pg_get_function_arguments(p.oid) as arguments,
       oidvectortypes(p.proargtypes) as argument_types,
       pg_get_function_result(p.oid) as result,
       coalesce(obj_description(p.oid, 'pg_proc'), '') as comment
from pg_proc p
where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
  and has_function_privilege('authenticated', p.oid, 'EXECUTE')
order by p.proname, 2
