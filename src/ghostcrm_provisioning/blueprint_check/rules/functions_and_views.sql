-- rule: function_search_path
-- severity: warning
-- meaning: A function looks names up along the caller's search_path: a caller can put other things in its way.
-- fix: Add: set search_path = pg_catalog, pg_temp, and name everything else with its schema.
select 'pg_proc' as catalog, f.oid as id, f.oid::regprocedure::text as object,
       format('function %%s %%s%%s', f.oid::regprocedure,
              case when p.path is null then 'has no fixed search_path'
                   else 'looks into its caller''s temporary schema first' end,
              case when f.prosecdef then ', and runs with its owner''s rights' else '' end) as sentence,
       case when f.prosecdef then 'error' end as severity
from pg_proc f join pg_namespace n on n.oid = f.pronamespace
     left join lateral (
         select setting as path from unnest(f.proconfig) setting where setting like 'search_path=%%'
     ) p on true
where n.nspname <> all(%(foreign_schemas)s)
  -- Where pg_temp is not named last, PostgreSQL looks for tables and types there first.
  and (p.path is null or (f.prosecdef and p.path not like '%%pg_temp'))
  -- Nor what an extension brought, or was made with a type, as what makes the values of a range is.
  and not exists (select from pg_depend d
                  where d.classid = 'pg_proc'::regclass and d.objid = f.oid
                    and (d.deptype = 'e' or (d.deptype = 'i' and d.refclassid = 'pg_type'::regclass)))
  and f.prokind <> 'a'

-- rule: definer_function_exposed
-- severity: error
-- meaning: Callers of the API may run a function with its owner's rights, past row level security.
-- fix: Move it into the schema private with a security invoker function before it, or revoke execute.
select 'pg_proc' as catalog, f.oid as id, f.oid::regprocedure::text as object,
       format('%%s may call the security definer function %%s through the API',
              string_agg(role, ' and ' order by role), f.oid::regprocedure) as sentence
from pg_proc f join pg_namespace n on n.oid = f.pronamespace,
     unnest(array['anon', 'authenticated']) role
where n.nspname = any(%(exposed_schemas)s) and has_function_privilege(role, f.oid, 'execute')
  -- Who may execute an aggregate need not be allowed what it is made of.
  and (f.prosecdef or exists (
      select from pg_aggregate a join pg_proc part on part.prosecdef and part.oid in (
          a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
          a.aggminvtransfn, a.aggmfinalfn
      )
      where a.aggfnoid = f.oid
  ))
group by f.oid

-- rule: view_with_owners_rights
-- severity: error
-- meaning: A view reads its tables with its owner's rights: row level security does not bind who reads it.
-- fix: create view … with (security_invoker = true).
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('view %%s reads with its owner''s rights, past row level security', c.oid::regclass) as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'v' and n.nspname <> all(%(foreign_schemas)s)
  and not exists (select from pg_options_to_table(c.reloptions) o
                  where o.option_name = 'security_invoker' and o.option_value::boolean)
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')

-- rule: copy_without_policies
-- severity: error
-- meaning: The API's roles read a materialized view or a foreign table, which no policy can protect.
-- fix: Revoke it, and give them a function or an ordinary view that asks who they are.
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('%%s may read the %%s %%s, which no policy protects', string_agg(role, ' and ' order by role),
              case c.relkind when 'm' then 'materialized view' else 'foreign table' end, c.oid::regclass)
           as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace, unnest(array['anon', 'authenticated']) role
where c.relkind in ('m', 'f') and n.nspname <> all(%(foreign_schemas)s)
  and has_table_privilege(role, c.oid, 'select')
group by c.oid, c.relkind

-- rule: extension_in_public
-- severity: warning
-- meaning: An extension's functions and types lie in a schema that the API exposes.
-- fix: create extension … schema extensions.
select 'pg_extension' as catalog, e.oid as id, e.extname::text as object,
       format('extension %%I is in the schema %%I, which the API exposes', e.extname, n.nspname) as sentence
from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where n.nspname = any(%(exposed_schemas)s)
