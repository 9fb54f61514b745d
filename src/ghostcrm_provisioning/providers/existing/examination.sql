-- name: look_around
-- Where we are, as whom, and what we may do. Everything is read from the catalog, which everybody may read:
-- a function that looks a name up is refused to whoever may not use its schema.
select current_setting('server_version_num')::integer / 10000 as version,
       pg_is_in_recovery() as is_standby,
       current_setting('transaction_read_only')::boolean as is_read_only,
       session_user::text as login, me.rolsuper as is_superuser, me.rolcreaterole as makes_roles,
       me.rolbypassrls as bypasses_rls,
       d.datname::text as database, d.datistemplate as is_template, d.datdba::regrole::text as owner,
       pg_has_role(d.datdba, 'usage') as owns_database,
       has_database_privilege(d.oid, 'create') as makes_schemas,
       shobj_description(d.oid, 'pg_database') as stamp,
       coalesce((select has_schema_privilege(oid, 'create') from pg_namespace where nspname = 'public'), false)
           as makes_tables,
       exists (
           select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
           where a.grantee = 0 and a.privilege_type = 'CONNECT'
       ) as lets_everybody_in,
       exists (
           select from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
           where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE'
       ) as everybody_makes_tables,
       -- What this login makes in public from now on is open to strangers, unless a migration closes it.
       not exists (
           select from pg_default_acl
           where defaclrole = me.oid and defaclnamespace = 0 and defaclobjtype = 'f'
       ) or exists (
           select from pg_default_acl a left join pg_namespace n on n.oid = a.defaclnamespace,
                aclexplode(a.defaclacl) given left join pg_roles r on r.oid = given.grantee
           where a.defaclrole = me.oid and a.defaclobjtype <> 'T' and (n.oid is null or n.nspname = 'public')
             and (given.grantee = 0 or r.rolname in ('anon', 'authenticated'))
       ) as makes_open_things,
       exists (
           select from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = 'ghostcrm' and c.relname = 'installation'
       ) as is_control_database,
       exists (
           select from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = 'ghostcrm_provisioning' and c.relname = 'stamp'
       ) as has_stamp,
       coalesce((select has_schema_privilege(oid, 'usage') from pg_namespace
                 where nspname = 'ghostcrm_provisioning'), false)
           as may_read_stamp,
       exists (select from pg_namespace where nspname = 'ghostcrm_claim') as has_claim,
       (select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'ghostcrm_claim') as claim,
       users.oid is not null as has_users,
       -- Supabase's own, and not what we bring on plain PostgreSQL: that lets our owner in.
       users.owner = 'supabase_auth_admin'
           and not exists (
               select from pg_namespace n, aclexplode(n.nspacl) a
               where n.nspname = 'auth' and a.grantee = (
                   select oid from pg_roles where rolname = 'ghostcrm_client_owner'
               )
           )
           and (select count(*) = 3 from pg_roles
                where rolname in ('anon', 'authenticated', 'service_role'))
           as is_supabase,
       coalesce(users.may_be_read, false) as reads_users,
       coalesce(users.may_be_written, false) as writes_users,
       array(
           select name from unnest(%(roles)s::text[]) as name
           where not exists (select from pg_roles r where r.rolname = name and pg_has_role(r.oid, 'member'))
       ) as cannot_become
from pg_database d
cross join pg_roles me
left join lateral (
    select c.oid, c.relowner::regrole::text as owner,
           has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as may_be_read,
           has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'insert')
               and exists (
                   select from pg_class i
                   where i.relname = 'identities' and i.relnamespace = n.oid
                     and has_table_privilege(i.oid, 'insert')
               )
               as may_be_written
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'auth' and c.relname = 'users' and c.relkind in ('r', 'p')
) users on true
where d.datname = current_database() and me.rolname = session_user

-- name: read_stamp
select database_id from ghostcrm_provisioning.stamp

-- name: others_things
-- Whatever is in the database that neither we nor PostgreSQL, an extension or Supabase have put there. On
-- Supabase its own are what belongs to its roles, and the schemas that it gives to the project's owner.
with others(oid, nspname) as (
    select n.oid, n.nspname
    from pg_namespace n join pg_roles o on o.oid = n.nspowner
    -- Between two looks, somebody may have made our claim.
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'ghostcrm_claim')
      and not (%(is_supabase)s and (
          n.nspname in ('extensions', 'supabase_migrations', 'graphql', 'graphql_public')
          or (n.nspname <> 'public' and o.rolname in (
              'supabase_admin', 'supabase_auth_admin', 'supabase_storage_admin', 'supabase_realtime_admin',
              'supabase_functions_admin', 'supabase_replication_admin', 'supabase_etl_admin', 'pgbouncer',
              'dashboard_user', 'pgtle_admin'
          ))
      ))
), things(kind, classid, oid, name) as (
    select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                          when 'f' then 'foreign table' else 'table' end,
           'pg_class'::regclass, c.oid, format('%%I.%%I', o.nspname, c.relname)
    from pg_class c join others o on o.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and not exists (  -- a sequence that comes with a column
          select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
            and c.relkind = 'S' and d.deptype in ('a', 'i')
      )
    union all
    select 'function', 'pg_proc'::regclass, p.oid, format('%%I.%%I', o.nspname, p.proname)
    from pg_proc p join others o on o.oid = p.pronamespace
    union all
    select 'type', 'pg_type'::regclass, t.oid, format('%%I.%%I', o.nspname, t.typname)
    from pg_type t join others o on o.oid = t.typnamespace
    where t.typtype in ('e', 'd', 'r') or (
        t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
    )
    union all
    select 'schema', 'pg_namespace'::regclass, o.oid, format('%%I', o.nspname)
    from others o where o.nspname <> 'public'
)
select kind, name from things
where not exists (
    select from pg_depend d where d.classid = things.classid and d.objid = things.oid and d.deptype = 'e'
)
order by array_position(array['table', 'view', 'materialized view', 'foreign table'], kind), name

-- name: who_else_may_enter
-- Logins besides ours and superusers' that may connect to this database, and whether they are members of
-- one of the roles that people in client databases act as.
select r.rolname::text as login,
       array(
           select g.rolname::text from pg_roles g
           where g.rolname = any(%(roles)s) and pg_has_role(r.oid, g.oid, 'member')
           order by g.rolname
       ) as acts_as
from pg_roles r
where r.rolcanlogin and not r.rolsuper and r.rolname <> session_user
  and r.rolname <> all(%(ours)s)
  and has_database_privilege(r.oid, current_database(), 'connect')
order by r.rolname
