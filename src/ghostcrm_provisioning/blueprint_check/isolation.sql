-- name: find_subject
-- The table or function of public that an attack was about.
select 'pg_class' as catalog, c.oid::bigint as id
from pg_class c where c.relnamespace = 'public'::regnamespace and c.relname = %(name)s
union all
select 'pg_proc', f.oid::bigint
from pg_proc f
where f.oid = case when %(name)s like '%%(%%' then to_regprocedure('public.' || %(name)s) end
limit 1
