-- What the advisors find, from the catalog of the project's database. Each query answers a row for each
-- thing found: schema, name, type, detail, and for a foreign key its name and columns. Schemas that are
-- Supabase's own are left out.

-- name: unindexed_foreign_keys
select n.nspname as schema, c.relname as name, 'table' as type, k.conname as fkey_name, k.conkey::int[] as fkey_columns,
       format('Table `%I.%I` has a foreign key `%I` without a covering index.', n.nspname, c.relname, k.conname) as detail
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
where k.contype = 'f' and n.nspname = any($1)
  and not exists (
      select from pg_index i
      where i.indrelid = k.conrelid and i.indpred is null and i.indisvalid
        and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
  )
order by 1, 2, 4

-- name: no_primary_key
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` does not have a primary key', n.nspname, c.relname) as detail
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname = any($1)
  and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
order by 1, 2

-- name: duplicate_index
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` has identical indexes {%s}. Drop all except one of them', n.nspname, c.relname,
              string_agg(x.relname, ', ' order by x.relname)) as detail
from pg_index i
join pg_class c on c.oid = i.indrelid
join pg_class x on x.oid = i.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1)
group by n.nspname, c.relname, i.indrelid, i.indkey::text, i.indclass::text, i.indcollation::text,
         i.indoption::text, i.indisunique,
         pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid), x.relam
having count(*) > 1
order by 1, 2

-- name: multiple_permissive_policies
-- Per role and command: every one of them is evaluated for every row.
with commands(command) as (values ('r'), ('a'), ('w'), ('d')),
applied as (
    select p.polrelid, p.polname, r.rolname, c.command
    from pg_policy p
    cross join commands c
    join pg_roles r on r.oid = any(p.polroles) or (p.polroles = '{0}' and r.rolname in ('anon', 'authenticated'))
    where p.polpermissive and p.polcmd in ('*', c.command::"char") and not r.rolbypassrls
)
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` has multiple permissive policies for role `%s` for action `%s`. Policies include `{%s}`',
              n.nspname, c.relname, a.rolname,
              case a.command when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' else 'DELETE' end,
              string_agg(quote_ident(a.polname), ',' order by a.polname)) as detail
from applied a
join pg_class c on c.oid = a.polrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1) and c.relrowsecurity
group by n.nspname, c.relname, a.rolname, a.command
having count(*) > 1
order by 1, 2, 4

-- name: auth_rls_initplan
-- A call in parentheses with select is made once for the statement; any other once for each row.
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` has a row level security policy `%s` that re-evaluates auth.<function>() or current_setting() for each row.',
              n.nspname, c.relname, p.polname) as detail
from pg_policy p
join pg_class c on c.oid = p.polrelid
join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
    select regexp_replace(
        coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' ' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''),
        '\(\s*SELECT\s+(auth\.(uid|role|email|jwt)\(\)|current_setting\([^()]*\))', '(', 'gi') as text
) e
where n.nspname = any($1) and c.relrowsecurity
  and e.text ~* '(auth\.(uid|role|email|jwt)\(\)|current_setting\()'
order by 1, 2, 4

-- name: unused_index
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Index `%I` on table `%I.%I` has not been used', x.relname, n.nspname, c.relname) as detail
from pg_stat_user_indexes s
join pg_index i on i.indexrelid = s.indexrelid
join pg_class x on x.oid = s.indexrelid
join pg_class c on c.oid = s.relid
join pg_namespace n on n.oid = c.relnamespace
where s.idx_scan = 0 and not i.indisunique and n.nspname = any($1)
order by 1, 2, 4

-- name: rls_disabled_in_public
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` is public, but RLS has not been enabled.', n.nspname, c.relname) as detail
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relrowsecurity and n.nspname = 'public' and n.nspname = any($1)
  and (has_table_privilege('anon', c.oid, 'select, insert, update, delete')
       or has_table_privilege('authenticated', c.oid, 'select, insert, update, delete'))
order by 1, 2

-- name: rls_enabled_no_policy
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` has RLS enabled, but no policies exist', n.nspname, c.relname) as detail
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relrowsecurity and n.nspname = any($1)
  and not exists (select from pg_policy p where p.polrelid = c.oid)
order by 1, 2

-- name: policy_exists_rls_disabled
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` has RLS policies but RLS is not enabled. Policies include {%s}.', n.nspname, c.relname,
              string_agg(quote_ident(p.polname), ',' order by p.polname)) as detail
from pg_policy p
join pg_class c on c.oid = p.polrelid
join pg_namespace n on n.oid = c.relnamespace
where not c.relrowsecurity and n.nspname = any($1)
group by 1, 2, n.nspname, c.relname
order by 1, 2

-- name: security_definer_view
select n.nspname as schema, c.relname as name, 'view' as type,
       format('View `%I.%I` is defined with the SECURITY DEFINER property', n.nspname, c.relname) as detail
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'v' and n.nspname = 'public' and n.nspname = any($1)
  and not coalesce(c.reloptions::text[] && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'], false)
  and (has_table_privilege('anon', c.oid, 'select') or has_table_privilege('authenticated', c.oid, 'select'))
order by 1, 2

-- name: function_search_path_mutable
select n.nspname as schema, p.proname as name, 'function' as type,
       format('Function `%I.%I` has a role mutable search_path', n.nspname, p.proname) as detail
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = any($1)
  and not exists (select from unnest(p.proconfig) setting where setting like 'search_path=%')
  and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
order by 1, 2

-- name: extension_in_public
select n.nspname as schema, e.extname as name, 'extension' as type,
       format('Extension `%I` is installed in the public schema. Move it to another schema.', e.extname) as detail
from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where n.nspname = 'public' and n.nspname = any($1)
order by 2

-- name: materialized_view_in_api
select n.nspname as schema, c.relname as name, 'view' as type,
       format('Materialized view `%I.%I` is selectable by anon or authenticated roles', n.nspname, c.relname) as detail
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'm' and n.nspname = 'public' and n.nspname = any($1)
  and (has_table_privilege('anon', c.oid, 'select') or has_table_privilege('authenticated', c.oid, 'select'))
order by 1, 2

-- name: auth_users_exposed
select n.nspname as schema, c.relname as name, 'view' as type,
       format('View/Materialized View "%s" in the public schema may expose `auth.users` data to anon or authenticated roles.', c.relname) as detail
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and n.nspname = 'public' and n.nspname = any($1)
  and (has_table_privilege('anon', c.oid, 'select') or has_table_privilege('authenticated', c.oid, 'select'))
  and exists (
      select from pg_rewrite w join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
      where w.ev_class = c.oid and d.refobjid = to_regclass('auth.users')
  )
order by 1, 2

-- name: rls_references_user_metadata
select n.nspname as schema, c.relname as name, 'table' as type,
       format('Table `%I.%I` has a row level security policy `%s` that references Supabase Auth `user_metadata`. `user_metadata` is editable by end users and should never be used in a security context.',
              n.nspname, c.relname, p.polname) as detail
from pg_policy p
join pg_class c on c.oid = p.polrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1)
  and coalesce(pg_get_expr(p.polqual, p.polrelid), '') || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') ~ 'user_metadata'
order by 1, 2, 4

-- name: schemas_of_the_project
-- Those that are neither PostgreSQL's nor the platform's.
select n.nspname as name from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname not in (
    'information_schema', 'auth', 'storage', 'extensions', 'realtime', 'vault', 'graphql', 'graphql_public', 'supabase_migrations'
)
order by 1
