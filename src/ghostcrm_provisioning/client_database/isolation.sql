-- name: exposures
-- Whatever lets in somebody who must stay out, one sentence each. Reads the catalog only.
with tables as (
    select c.oid, c.relname, c.relrowsecurity, c.relacl, c.relowner
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
)
select format('row level security is off on table %%I', t.relname) as exposure
from tables t where not t.relrowsecurity
union all
select format('%%s may %%s relation %%I',
              case a.grantee when 0 then 'everyone' else 'anon' end, lower(a.privilege_type), c.relname)
from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  and (a.grantee = 0 or a.grantee = 'anon'::regrole)
union all
select format('policy %%I on table %%I is for everyone', p.polname, t.relname)
from pg_policy p join tables t on t.oid = p.polrelid
where p.polroles && array[0::oid, 'anon'::regrole::oid]
union all
select format('%%s may execute the security definer function %%s',
              case a.grantee when 0 then 'everyone' else 'anon' end, f.oid::regprocedure)
from pg_proc f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
where f.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and f.prosecdef
  and (a.grantee = 0 or a.grantee = 'anon'::regrole)
union all
select format('view %%I runs with its owner''s rights', c.relname)
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
  and not coalesce(c.reloptions::text[] && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false)
union all
select format('%%I may connect to this database', r.rolname)
from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
     join pg_roles r on r.oid = a.grantee
where d.datname = current_database() and a.privilege_type = 'CONNECT'
  and a.grantee <> d.datdba and r.rolname <> all(%(logins)s)
union all
select 'everyone may connect to this database'
from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
where d.datname = current_database() and a.privilege_type = 'CONNECT' and a.grantee = 0
union all
select format('the login %%I bypasses row level security by itself', r.rolname)
from pg_roles r where r.rolname = any(%(logins)s) and (r.rolbypassrls or r.rolsuper or r.rolcreaterole)

-- name: tables
select c.relname as name
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
order by c.relname

-- name: readable_tables
-- Those the caller may read at all.
select c.relname as name
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  and (has_table_privilege(c.oid, 'select') or has_any_column_privilege(c.oid, 'select'))
order by c.relname
