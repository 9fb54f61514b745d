-- rule: granted_to_strangers
-- severity: error
-- meaning: Everyone (PUBLIC), or anon, who is not signed in, holds a privilege on a table, view or sequence.
-- fix: revoke all on … from public, anon; and grant to authenticated by name.
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       case a.grantee when 0 then 'public' else 'anon' end as grantee,
       format('%%s may %%s %%s', case a.grantee when 0 then 'everyone' else 'anon' end,
              lower(string_agg(distinct a.privilege_type, ', ')), c.oid::regclass) as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
     cross join lateral (
         select * from aclexplode(c.relacl)
         union all
         select x.* from pg_attribute t, aclexplode(t.attacl) x where t.attrelid = c.oid
     ) a
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname <> all(%(foreign_schemas)s)
  and a.grantee in (0, 'anon'::regrole)
group by c.oid, a.grantee

-- rule: function_open_to_strangers
-- severity: warning
-- meaning: Everyone, or anon, may execute a function. PostgreSQL gives that by default; a blueprint takes it.
-- fix: revoke execute on function … from public, anon; and grant it to authenticated where they need it.
select 'pg_proc' as catalog, f.oid as id, f.oid::regprocedure::text as object,
       case a.grantee when 0 then 'public' else 'anon' end as grantee,
       format('%%s may execute the function %%s', case a.grantee when 0 then 'everyone' else 'anon' end,
              f.oid::regprocedure) as sentence
from pg_proc f join pg_namespace n on n.oid = f.pronamespace,
     aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
where n.nspname <> all(%(foreign_schemas)s) and a.grantee in (0, 'anon'::regrole)
  -- Nor what an extension brought, or was made with a type, as what makes the values of a range is.
  and not exists (select from pg_depend d
                  where d.classid = 'pg_proc'::regclass and d.objid = f.oid
                    and (d.deptype = 'e' or (d.deptype = 'i' and d.refclassid = 'pg_type'::regclass)))

-- rule: schema_open_to_strangers
-- severity: warning
-- meaning: Everyone, or anon, may use a schema that is not for the API, or create in one.
-- fix: revoke all on schema … from public, anon.
select 'pg_namespace' as catalog, n.oid as id, n.nspname::text as object,
       case a.grantee when 0 then 'public' else 'anon' end as grantee,
       format('%%s has %%s on the schema %%I', case a.grantee when 0 then 'everyone' else 'anon' end,
              lower(string_agg(a.privilege_type, ', ')), n.nspname) as sentence
from pg_namespace n, aclexplode(n.nspacl) a
where n.nspname <> all(%(foreign_schemas)s) and a.grantee in (0, 'anon'::regrole)
  and not (n.nspname = 'public' and a.privilege_type = 'USAGE')
group by n.oid, n.nspname, a.grantee

-- rule: privilege_beyond_policies
-- severity: warning
-- meaning: Signed-in users hold TRUNCATE, REFERENCES or TRIGGER on a table: no policy has a say in these.
-- fix: Grant select, insert, update, delete by name instead of all.
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object, 'authenticated' as grantee,
       format('authenticated holds %%s on table %%s, in which no policy has a say',
              string_agg(a.privilege_type, ', ' order by a.privilege_type), c.oid::regclass) as sentence,
       case when bool_or(a.privilege_type = 'TRUNCATE') then 'error' end as severity
from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
where c.relkind in ('r', 'p') and n.nspname <> all(%(foreign_schemas)s)
  and a.grantee = 'authenticated'::regrole
  and a.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
group by c.oid

-- rule: default_privileges_open
-- severity: warning
-- meaning: What is made from now on is open by default: a later table would be, before its policies are there.
-- fix: alter default privileges … revoke …; and grant by name.
select 'pg_default_acl' as catalog, d.oid as id,
       coalesce(n.nspname::text, 'every schema') as object,
       case a.grantee when 0 then 'public' else a.grantee::regrole::text end as grantee,
       format('new %%s in %%s are open to %%s by default (%%s)',
              case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                                   when 'T' then 'types' else 'schemas' end,
              case when n.nspname is null then 'every schema' else format('the schema %%I', n.nspname) end,
              case a.grantee when 0 then 'everyone' else a.grantee::regrole::text end,
              lower(string_agg(a.privilege_type, ', ' order by a.privilege_type))) as sentence,
       case when a.grantee <> 'authenticated'::regrole then 'error' end as severity
from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
where d.defaclobjtype in ('r', 'S', 'f', 'n')
  and a.grantee in (0, 'anon'::regrole, 'authenticated'::regrole)
group by d.oid, d.defaclobjtype, n.nspname, a.grantee
