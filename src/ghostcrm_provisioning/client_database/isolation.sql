-- name: schema_exposures
-- Whatever in the schema lets in somebody who must stay out, one sentence each.
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

-- name: database_exposures
-- Who may connect that must not, and logins that could step over every policy.
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

-- name: catalog_fingerprint
-- A hash of everything in the catalog that decides who may do what. Raw node trees and oids: equal in
-- a template and in its copies, and cheap to read; not comparable between servers.
with schemas as materialized (
    select oid, nspname, nspowner, nspacl from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'ghostcrm_provisioning')
), facts(fact) as (
    select concat_ws('|', 'schema', nspname, nspowner, nspacl) from schemas
    union all
    select concat_ws('|', 'relation', c.oid, c.relname, c.relkind, c.relowner, c.relrowsecurity,
                     c.relforcerowsecurity, c.relacl, c.reloptions)
    from pg_class c join schemas s on s.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select concat_ws('|', 'column', a.attrelid, a.attnum, a.attname, a.attacl)
    from pg_attribute a where a.attacl is not null
    union all
    select concat_ws('|', 'policy', p.polrelid, p.polname, p.polcmd, p.polpermissive, p.polroles,
                     p.polqual, p.polwithcheck)
    from pg_policy p
    union all
    select concat_ws('|', 'function', f.oid, f.proname, f.proowner, f.prosecdef, f.proconfig, f.proacl,
                     f.prosrc, f.prosqlbody)
    from pg_proc f join schemas s on s.oid = f.pronamespace
    union all
    select concat_ws('|', 'trigger', t.tgrelid, t.tgname, t.tgenabled, t.tgfoid, t.tgqual)
    from pg_trigger t where not t.tgisinternal
    union all
    select concat_ws('|', 'rule', r.ev_class, r.rulename, r.ev_enabled, r.ev_qual, r.ev_action)
    from pg_rewrite r join pg_class c on c.oid = r.ev_class join schemas s on s.oid = c.relnamespace
    union all
    select concat_ws('|', 'default', d.defaclrole, d.defaclnamespace, d.defaclobjtype, d.defaclacl)
    from pg_default_acl d
    union all
    select concat_ws('|', 'membership', m.roleid, m.member)
    from pg_auth_members m
    where m.member in ('anon'::regrole, 'authenticated'::regrole)
)
select md5(string_agg(fact, chr(10) order by fact)) as fingerprint from facts

-- name: read_proof
select proven_catalog, proven_with_rows_in from ghostcrm_provisioning.stamp

-- name: write_proof
update ghostcrm_provisioning.stamp
set proven_catalog = %(fingerprint)s, proven_with_rows_in = %(with_rows_in)s
