-- name: server_exposures
-- What a whole server keeps, and no copy of a database brings along: how the logins of this database differ from
-- how we made them, one sentence each. `logins` with, for each, what it was made with: the groups (`groups`, a name
-- apart from the next by a comma), the role that it acts as (`acting`), whether it has their
-- rights by itself (`inherits`) and may make temporary tables
-- and schemas. Not judged: how long a session may wait, where it looks for names, and what else weakens nothing.
with logins as materialized (
    select r.oid, l.name, l.groups, l.acting, l.inherits, l.is_temporary, l.creates, r.rolinherit, r.rolreplication,
           r.rolcreatedb
    from unnest(
        %(logins)s::text[], %(groups)s::text[], %(acting)s::text[], %(inherits)s::boolean[], %(temporary)s::boolean[],
        %(creates)s::boolean[]
    ) as l (name, groups, acting, inherits, is_temporary, creates)
    join pg_roles r on r.rolname = l.name
), shared as materialized (  -- groups of theirs
    select r.oid, s.name, s.groups
    from unnest(%(shared)s::text[], %(shared_groups)s::text[]) as s (name, groups)
    join pg_roles r on r.rolname = s.name and not r.rolsuper
    where exists (select from logins l where s.name = any(string_to_array(l.groups, ',')))
), bound as materialized (  -- by row level security: as themselves, by whatever name
    select 0::oid as oid, 'everyone' as name, 'everyone' as title
    union all
    select oid, rolname, format('the role %%I', rolname) from pg_roles where rolname in ('anon', 'authenticated')
    union all
    select oid, name, format('the role %%I', name) from logins where string_to_array(groups, ',') && array['authenticated'] and not creates
        and not is_temporary
), here as (
    select d.oid, d.datdba, coalesce(d.datacl, acldefault('d', d.datdba)) as datacl
    from pg_database d where d.datname = current_database()
)
select format('the login %%I may replicate the whole server', name) as exposure from logins where rolreplication
union all
select format('the login %%I may create databases', name) from logins where rolcreatedb
union all
select format('the database belongs to the login %%I', l.name) from logins l join here on here.datdba = l.oid
union all
select format('the role %%I is a member of %%I', w.name, g.rolname)
from (select oid, name, groups from logins union all select oid, name, groups from shared) w
join pg_auth_members m on m.member = w.oid
join pg_roles g on g.oid = m.roleid
where g.rolname <> all(string_to_array(w.groups, ','))
union all
-- From 16 on, PostgreSQL keeps with each membership whether it is inherited.
select format('the login %%I has the rights of %%I by itself, without taking them on', l.name, g.rolname)
from logins l
join pg_auth_members m on m.member = l.oid
join pg_roles g on g.oid = m.roleid
where not l.inherits and coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, l.rolinherit)
  and g.rolname = any(string_to_array(l.groups, ','))
union all
-- Who makes logins can make himself a member at any time; PostgreSQL makes him one from 16 on.
select format('the role %%I is a member of the login %%I: it may enter as that login may', r.rolname, l.name)
from logins l
join pg_auth_members m on m.roleid = l.oid
join pg_roles r on r.oid = m.member
where not r.rolsuper and not r.rolcreaterole and r.rolname <> current_user
union all
select format('sessions of %%s begin with %%s', case when s.role is null then 'everyone' else format('the role %%I', s.role) end,
              -- Of any other, the value may be a secret.
              case s.name when 'role' then s.setting else 'a ' || s.name || ' of their own' end)
from (
    select w.name as role, w.acting, c.setting, split_part(c.setting, '=', 1) as name,
           substr(c.setting, strpos(c.setting, '=') + 1) as value
    from here, pg_db_role_setting d
    left join (
        select oid, name, acting from logins union all select oid, name, null from shared
        union all select oid, rolname, null from pg_roles where rolname in ('anon', 'authenticated')
    ) w on w.oid = d.setrole,
    unnest(d.setconfig) as c (setting)
    where (d.setrole = 0 or w.oid is not null) and d.setdatabase in (0, here.oid)
) s
where s.name ~ '^request\.'  -- as whom row level security sees a session that brings no token
   or (s.name = 'role' and s.value is distinct from s.acting)
   or s.name in (
       'session_authorization', 'session_replication_role', 'session_preload_libraries', 'local_preload_libraries'
   )
   or s.name ~ '\mjwt_'  -- PostgREST takes its own settings from here: whose tokens it believes,
   or (s.name ~ '\mdb_anon_role$' and s.value <> 'anon')  -- and who a request without one is
union all
select format('%%s may make temporary tables here, which functions meet', b.title)
from here, aclexplode(here.datacl) a join bound b on b.oid = a.grantee
where a.privilege_type = 'TEMPORARY' and (%(ours)s::text[] is null or a.grantee <> 0)
union all
select format('%%s may make schemas in this database', b.title)
from here, aclexplode(here.datacl) a join bound b on b.oid = a.grantee
where a.privilege_type = 'CREATE'
union all
select format('the role %%I may look into the schema ghostcrm_provisioning', r.rolname)
from pg_roles r, to_regnamespace('ghostcrm_provisioning') as kept (schema)
where kept.schema is not null and not r.rolsuper and r.rolname <> current_user
  and (r.rolname in ('anon', 'authenticated', 'service_role') or r.oid in (select oid from logins))
  and has_schema_privilege(r.oid, kept.schema, 'usage, create')
union all
-- Setting it aside switches off triggers, and with them what they keep.
select format('%%s may set %%s', b.title, p.parname)
from pg_parameter_acl p, aclexplode(p.paracl) a join bound b on b.oid = a.grantee
where p.parname in ('session_replication_role', 'session_preload_libraries')
union all
-- What such a login may, it may as a member of its groups, which is what was proven.
select format('the login %%I may %%s the %%s %%s by itself', l.name, lower(o.privilege), o.kind, o.name)
from bound l
join (
    select 'schema' as kind, n.nspname::text as name, a.grantee, a.privilege_type as privilege
    from pg_namespace n, aclexplode(n.nspacl) a
    union all
    select case c.relkind when 'S' then 'sequence' else 'relation' end, c.oid::regclass::text, a.grantee, a.privilege_type
    from pg_class c, aclexplode(c.relacl) a
    union all
    select 'column', format('%%s.%%I', c.attrelid::regclass, c.attname), a.grantee, a.privilege_type
    from pg_attribute c, aclexplode(c.attacl) a
    union all
    select 'function', f.oid::regprocedure::text, a.grantee, a.privilege_type
    from pg_proc f, aclexplode(f.proacl) a
) o on o.grantee = l.oid
where l.name not in ('everyone', 'anon', 'authenticated')
union all
-- PostgreSQL's own tables and functions, which are closed for a reason: passwords, statistics, files.
select format('%%s may %%s %%s', b.title, lower(o.privilege), o.name)
from bound b
join (
    select c.oid::regclass::text as name, a.grantee, a.privilege_type as privilege, c.relacl as now,
           'pg_class'::regclass as catalog, c.oid as object
    from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'pg_catalog'::regnamespace
    union all
    select f.oid::regprocedure::text, a.grantee, a.privilege_type, f.proacl, 'pg_proc'::regclass, f.oid
    from pg_proc f, aclexplode(f.proacl) a where f.pronamespace = 'pg_catalog'::regnamespace
) o on o.grantee = b.oid
where not exists (
    select from pg_init_privs i, aclexplode(i.initprivs) a
    where i.classoid = o.catalog and i.objoid = o.object and i.objsubid = 0
      and a.grantee = o.grantee and a.privilege_type = o.privilege
)
union all
-- Everybody finds these first, whatever the search path. (Numbers below 16384 are PostgreSQL's own.)
select format('the %%s %%s was put into pg_catalog', o.kind, o.name)
from (
    select 'function' as kind, f.oid::regprocedure::text as name, 'pg_proc'::regclass as catalog, f.oid as object
    from pg_proc f where f.pronamespace = 'pg_catalog'::regnamespace and f.oid >= 16384
    union all
    select 'relation', c.oid::regclass::text, 'pg_class'::regclass, c.oid
    from pg_class c where c.relnamespace = 'pg_catalog'::regnamespace and c.oid >= 16384
    union all
    select 'operator', p.oid::regoperator::text, 'pg_operator'::regclass, p.oid
    from pg_operator p where p.oprnamespace = 'pg_catalog'::regnamespace and p.oid >= 16384
) o
where not exists (select from pg_depend d where d.classid = o.catalog and d.objid = o.object and d.deptype = 'e')
union all
-- Such a one is asked about rows before the policies are.
select format('the function %%s is marked as leakproof', f.oid::regprocedure)
from pg_proc f
where f.proleakproof and f.oid >= 16384
  and not exists (
      select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e'
  )
