-- name: schema_exposures
-- Whatever in the schemas lets in somebody who must stay out, one sentence each. Every schema counts
-- that anon or authenticated may use; those of the system, and `auth`, whose tables are Supabase
-- Auth's own, are looked at for what anon and authenticated may do there. Of the schemas that are
-- Supabase's own, where it is the ground, only what the client's owner has made in them. Where others are in
-- the database (`ours` is a list), what is theirs counts where it could show what is ours.
with recursive strangers(oid, name) as (
    values (0::oid, 'everyone'), ('anon'::regrole::oid, 'anon')
), schemas as materialized (
    select n.oid, n.nspname, n.nspname = any(%(platform_schemas)s) as is_platform
    from pg_namespace n
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'ghostcrm_provisioning')
      and (has_schema_privilege('anon', n.oid, 'usage')
           or has_schema_privilege('authenticated', n.oid, 'usage'))
), of_extensions as materialized (
    select classid, objid from pg_depend where deptype = 'e'
), showing(oid) as (  -- what is ours, and whatever shows it, over however many views
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where format('%%I.%%I', n.nspname, c.relname) = any(%(ours)s)
    union
    select w.ev_class
    from showing s
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = s.oid
        and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite w on w.oid = d.objid
    join pg_class v on v.oid = w.ev_class and v.relkind in ('v', 'm')
), relations as materialized (
    select c.oid, c.relkind, c.relrowsecurity, c.relacl, c.relowner, c.reloptions, s.nspname,
           %(ours)s::text[] is null or c.oid in (select oid from showing) as is_ours,
           case when s.nspname = 'public' then quote_ident(c.relname) else c.oid::regclass::text end
               as name
    from pg_class c join schemas s on s.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and (not s.is_platform or (
          c.relowner = to_regrole(quote_ident(%(owner)s)) and not exists (
              select from of_extensions e where e.classid = 'pg_class'::regclass and e.objid = c.oid
          )
      ))
      -- What an extension brought is no way in; what its owner has put into it might be.
      and (c.relowner = to_regrole(quote_ident(%(owner)s)) or not exists (
          select from of_extensions e where e.classid = 'pg_class'::regclass and e.objid = c.oid
      ))
), relation_grants as materialized (  -- of a column as well
    select r.oid, r.relkind, r.nspname, r.name, r.is_ours, a.grantee, a.privilege_type
    from relations r, aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) a
    union
    select r.oid, r.relkind, r.nspname, r.name, r.is_ours, a.grantee, a.privilege_type
    from relations r join pg_attribute c on c.attrelid = r.oid and c.attacl is not null, aclexplode(c.attacl) a
), functions as materialized (
    select f.oid, f.proacl, f.proowner, f.prorettype, s.is_platform,
           -- An aggregate lends what it is made of.
           f.prosecdef or exists (
               select from pg_aggregate a
               join pg_proc part on part.prosecdef and part.oid in (
                   a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                   a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn
               )
               where a.aggfnoid = f.oid
           ) as prosecdef
    from pg_proc f join schemas s on s.oid = f.pronamespace
    -- One of these cannot be called.
    where f.prorettype <> 'event_trigger'::regtype
      and (not s.is_platform or (
          f.proowner = to_regrole(quote_ident(%(owner)s)) and not exists (
              select from of_extensions e where e.classid = 'pg_proc'::regclass and e.objid = f.oid
          )
      ))
)
select format('row level security is off on table %%s', r.name) as exposure
from relations r
where r.relkind in ('r', 'p') and not r.relrowsecurity
  and r.is_ours and (r.nspname = 'public' or exists (
      select from relation_grants g
      where g.oid = r.oid and g.grantee in (0, 'anon'::regrole, 'authenticated'::regrole)
  ))
union all
select format('%%s may %%s relation %%s', w.name, lower(g.privilege_type), g.name)
from relation_grants g join strangers w on w.oid = g.grantee
where g.is_ours
union all
select format('authenticated may %%s the %%s %%s, which no policy protects', lower(g.privilege_type),
              case g.relkind when 'm' then 'materialized view' else 'foreign table' end, g.name)
from relation_grants g
where g.relkind in ('m', 'f') and g.is_ours and g.grantee = 'authenticated'::regrole
union all
select format('policy %%I on table %%s is for everyone', p.polname, r.name)
from pg_policy p join relations r on r.oid = p.polrelid and r.is_ours
where p.polroles && array[0::oid, 'anon'::regrole::oid]
union all
select format('policy %%I on table %%s is always true', p.polname, r.name)
from pg_policy p join relations r on r.oid = p.polrelid and r.is_ours
where p.polpermissive and p.polroles && array['authenticated'::regrole::oid]
  and 'true' in (pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
union all
select format('%%s may execute the security definer function %%s', w.name, f.oid::regprocedure)
from functions f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
     join strangers w on w.oid = a.grantee
where f.prosecdef
  -- Nobody can call what is made for triggers; ours are closed all the same.
  and (%(ours)s::text[] is null or f.prorettype <> 'trigger'::regtype)
union all
-- Elsewhere these are facts that are compared.
select format('authenticated may execute the security definer function %%s, in a schema of Supabase''s own',
              f.oid::regprocedure)
from functions f, aclexplode(f.proacl) a
where f.is_platform and f.prosecdef and a.grantee = 'authenticated'::regrole
union all
-- What is made later must be closed until a GRANT opens it. Projects at Supabase from before 2026 give it
-- away, and PostgreSQL lets everyone execute new functions.
select format('new %%s of %%I are open to %%s', case d.defaclobjtype
              when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
              when 'T' then 'types' when 'n' then 'schemas' else 'objects' end, %(owner)s::text, w.name)
from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
     join (select * from strangers union all select 'authenticated'::regrole::oid, 'authenticated') w
         on w.oid = a.grantee
where d.defaclrole = to_regrole(quote_ident(%(owner)s)) and d.defaclobjtype <> 'T'
  and (n.oid is null or n.nspname <> all(%(platform_schemas)s))
  and (w.name <> 'authenticated' or %(is_supabase)s)
group by d.defaclobjtype, w.name
union all
select format('new functions of %%I are open to everyone', %(owner)s::text)
where not exists (
    select from pg_default_acl d
    where d.defaclrole = to_regrole(quote_ident(%(owner)s)) and d.defaclobjtype = 'f' and d.defaclnamespace = 0
)
union all
select format('view %%s runs with its owner''s rights', r.name)
from relations r
where r.relkind = 'v' and r.is_ours
  -- In the schema of the API one grant is missing to open it; elsewhere it may be meant for trusted jobs.
  and (r.nspname = 'public' or exists (
      select from relation_grants g
      where g.oid = r.oid and g.grantee in (0, 'anon'::regrole, 'authenticated'::regrole)
  ))
  and not coalesce(r.reloptions::text[] && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false)
union all
-- What belongs to nobody but a client's owner or Supabase's own roles cannot lend out other rights.
-- What an extension brought belongs to whoever made the server, and is no way in.
select format('the %%s %%s belongs to %%I', o.kind, o.name, o.owner)
from (
    select 'function' as kind, f.oid::regprocedure::text as name, f.proowner::regrole::name as owner
    from pg_proc f join pg_namespace n on n.oid = f.pronamespace
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'ghostcrm_provisioning')
      and n.nspname <> all(%(platform_schemas)s)
      and (%(ours)s::text[] is null or format('%%I.%%I', n.nspname, f.proname) = any(%(ours)s))
      and not exists (
          select from of_extensions e where e.classid = 'pg_proc'::regclass and e.objid = f.oid
      )
      -- What makes a value of a range type is made with it, and belongs to whoever made the server.
      and not exists (
          select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = f.oid
              and d.deptype = 'i' and d.refclassid = 'pg_type'::regclass
      )
    union all
    select 'relation', c.oid::regclass::text, c.relowner::regrole::name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and n.nspname not in ('information_schema', 'ghostcrm_provisioning', 'supabase_migrations')
      and n.nspname <> all(%(platform_schemas)s)
      and (%(ours)s::text[] is null or format('%%I.%%I', n.nspname, c.relname) = any(%(ours)s))
      and not exists (
          select from of_extensions e where e.classid = 'pg_class'::regclass and e.objid = c.oid
      )
) o
where o.owner <> all(%(owners)s)

-- name: database_exposures
-- Who may connect to `database` that must not, and logins that could step over every policy. Into a database at
-- Supabase, its own roles may.
select format('the role %%I may connect to this database', r.rolname) as exposure
from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
     join pg_roles r on r.oid = a.grantee
where not %(is_supabase)s and d.datname = %(database)s and a.privilege_type = 'CONNECT'
  and a.grantee <> d.datdba and r.rolname <> all(%(logins)s)
union all
select 'everyone may connect to this database'
from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
where not %(is_supabase)s and d.datname = %(database)s and a.privilege_type = 'CONNECT' and a.grantee = 0
union all
select format('the login %%I bypasses row level security by itself', r.rolname)
from pg_roles r where r.rolname = any(%(logins)s) and (r.rolbypassrls or r.rolsuper or r.rolcreaterole)

-- name: application_exposures
-- What the application's own login, which asks, is by itself or may become. At Supabase whoever owns the project may
-- have made it before us, and may have granted it more since.
select format('the login %%I bypasses row level security by itself', r.rolname) as exposure
from pg_roles r where r.rolname = session_user and (r.rolbypassrls or r.rolsuper or r.rolcreaterole)
union all
select format('the login %%I may act as %%I', session_user, g.rolname)
from pg_roles g
where g.rolname not in (session_user, 'anon', 'authenticated') and pg_has_role(session_user, g.oid, 'member')
  and not exists (select from pg_roles r where r.rolname = session_user and r.rolsuper)

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

-- name: is_owner_of
select pg_has_role(c.relowner, 'usage') as holds
from pg_class c where c.relnamespace = 'public'::regnamespace and c.relname = %(table)s
