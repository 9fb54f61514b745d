-- name: missing_on_server
-- What the login that asks lacks before it can make client databases here: a row for each thing.
with wanted(name, bypasses_rls) as (
    select * from unnest(%(names)s::text[], %(bypass)s::boolean[])
), me as (
    select rolname, rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user
)
select format('the login %%I may not create databases', rolname) as lacks
from me where not (rolsuper or rolcreatedb)
union all
select format('the login %%I may not create roles', rolname) from me where not (rolsuper or rolcreaterole)
union all
select format('there is no role %%I', w.name)
from wanted w where not exists (select from pg_roles r where r.rolname = w.name)
union all
select format('the role %%I does not bypass row level security', w.name)
from wanted w join pg_roles r on r.rolname = w.name
where w.bypasses_rls and not r.rolbypassrls
union all
select format('the login %%I may not grant the role %%I', me.rolname, w.name)
from me, wanted w join pg_roles r on r.rolname = w.name
where not me.rolsuper and not pg_has_role(r.oid, 'member with admin option')

-- name: existing_roles
select rolname from pg_roles where rolname = any(%(names)s)

-- name: this_login
-- Who asks, and what it may do by itself.
select rolname as login, rolsuper as is_superuser, rolcreatedb as creates_databases,
       rolcreaterole as creates_roles
from pg_roles
where rolname = current_user

-- name: missing_on_given_server
-- What is missing for one client database on a server that is not ours: a row for each thing. Who makes logins
-- (`grants`) must be able to grant the roles; who does not, only to become them. `postgres` only has to exist.
with wanted(name, bypasses_rls) as (
    select * from unnest(%(names)s::text[], %(bypass)s::boolean[])
)
select format('there is no role %%I', w.name) as lacks
from wanted w where not exists (select from pg_roles r where r.rolname = w.name)
union all
select format('the role %%I does not bypass row level security', w.name)
from wanted w join pg_roles r on r.rolname = w.name
where w.bypasses_rls and not r.rolbypassrls
union all
select format('the login %%I may not %%s the role %%I', me.rolname,
              case when %(grants)s then 'grant' else 'become' end, w.name)
from wanted w join pg_roles r on r.rolname = w.name, pg_roles me
where me.rolname = current_user and not me.rolsuper and w.name <> 'postgres'
  and not pg_has_role(r.oid, case when %(grants)s then 'member with admin option' else 'member' end)
