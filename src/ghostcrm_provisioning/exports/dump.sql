-- name: begin_snapshot
-- Everything that is counted, and everything that is dumped, is of this one moment.
set transaction isolation level repeatable read, read only

-- name: wait_as_long_as_it_takes
select set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)

-- name: export_snapshot
select pg_export_snapshot() as id, current_setting('server_version') as server_version,
       current_setting('server_version_num')::integer / 10000 as server_major,
       clock_timestamp() as taken_at

-- name: schemas
-- Those of the client: not PostgreSQL's, not the platform's, none that an extension has brought.
select n.nspname as name
from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (n.nspname = 'supabase_migrations' or n.nspname <> all(%(platform)s::text[]))
  and not exists (
      select from pg_depend d
      where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e'
  )
order by n.nspname

-- name: tables
-- Whose rows are dumped, and whether policies would keep some of them from whoever asks.
select n.nspname as schema, c.relname as name, row_security_active(c.oid) as is_filtered
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname = any(%(schemas)s::text[])
  and not exists (
      select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname, c.relname

-- name: user_tables
-- Supabase Auth's, as far as they are needed to sign in. What filters them lets everything through, where
-- there is a policy for whoever asks that says so, and none that restricts.
select n.nspname as schema, c.relname as name, row_security_active(c.oid) as is_active,
       row_security_active(c.oid) and not (
           exists (
               select from pg_policy p
               where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', 'r')
                 and pg_get_expr(p.polqual, p.polrelid) = 'true'
                 and (0 = any(p.polroles) or exists (
                     select from unnest(p.polroles) as role (id) where pg_has_role(role.id, 'usage')))
           ) and not exists (
               select from pg_policy p
               where p.polrelid = c.oid and not p.polpermissive and p.polcmd in ('*', 'r')
           )
       ) as is_filtered
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname = 'auth' and c.relname in ('users', 'identities')
order by c.relname desc

-- name: count_rows
select {name} as name, count(*) as rows from only {table}
