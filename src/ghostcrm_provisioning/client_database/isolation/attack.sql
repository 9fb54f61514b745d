-- name: columns
-- Each column of each table of public: is it part of the key, and may a signed-in user write it?
select c.relname as table_name, a.attname as column_name,
       coalesce(a.attnum = any(k.conkey), false) as is_key,
       a.attgenerated <> '' or a.attidentity = 'a' as is_given,
       has_column_privilege('authenticated', c.oid, a.attnum, 'insert') as is_insertable,
       has_column_privilege('authenticated', c.oid, a.attnum, 'update') as is_updatable
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
order by c.relname, a.attnum

-- name: other_relations
-- Whatever else strangers might read: views of public, and all that stands in other schemas which they
-- may use. In Supabase's own schemas, where it is the ground, only what the client's owner has made.
select n.nspname as schema_name, c.relname as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'ghostcrm_provisioning')
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and (n.nspname <> 'public' or c.relkind not in ('r', 'p'))
  and (n.nspname <> all(%(platform_schemas)s) or (
      c.relowner = to_regrole(quote_ident(%(owner)s)) and not exists (
          select from pg_depend d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
      )
  ))
  -- What an extension brought is no way in; what its owner has put into it might be.
  and (c.relowner = to_regrole(quote_ident(%(owner)s)) or not exists (
      select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  ))
  and exists (
      select from (values ('anon'), ('authenticated')) as who (name)
      where has_schema_privilege(who.name, n.oid, 'usage')
        and (has_table_privilege(who.name, c.oid, 'select')
             or has_any_column_privilege(who.name, c.oid, 'select'))
  )
order by 1, 2

-- name: who_is_asking
select auth.uid()::text as id, auth.role() as role

-- name: functions_for_users
-- Functions of public that signed-in users may execute, but for those of extensions and types, and for event
-- triggers, which nobody can call (Supabase puts one there that turns row level security on).
select format('%%s(%%s)', f.proname, pg_get_function_identity_arguments(f.oid)) as called,
       format('%%s(%%s)', f.proname, array_to_string(array(
           select format_type(t.oid, null) from unnest(f.proargtypes) with ordinality as a(oid, n)
           join pg_type t on t.oid = a.oid order by a.n
       ), ', ')) as function
from pg_proc f
where f.pronamespace = 'public'::regnamespace
  and has_function_privilege('authenticated', f.oid, 'execute')
  and f.prorettype <> 'event_trigger'::regtype
  and not exists (
      select from pg_depend d
      where d.classid = 'pg_proc'::regclass and d.objid = f.oid
        -- Or it was made with a type, as what makes the values of a range is.
        and (d.deptype = 'e' or (d.deptype = 'i' and d.refclassid = 'pg_type'::regclass))
  )
order by 2

-- name: create_access_rows
create temporary table access_rows (table_name text, kind text, key jsonb) on commit drop

-- name: read_access_rows
select table_name, kind, key from pg_temp.access_rows

-- name: insert_person
-- A user who can never sign in: there is no password.
insert into auth.users
    (instance_id, id, aud, role, email, confirmation_token, recovery_token, email_change_token_new,
     email_change, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
values ('00000000-0000-0000-0000-000000000000', %(id)s, 'authenticated', 'authenticated', %(email)s,
        '', '', '', '', '{}', '{}', now(), now())

-- name: become_caller
select set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true)

-- name: is_bound
-- Whether row level security binds whoever is asking.
select not (r.rolbypassrls or r.rolsuper) as holds from pg_roles r where r.rolname = current_user

-- name: create_canary
create table public.ghostcrm_canary (id integer primary key)

-- name: open_canary
-- (A project at Supabase may have an event trigger that closes every new table.)
alter table public.ghostcrm_canary disable row level security;
grant select, insert, update, delete on table public.ghostcrm_canary to authenticated

-- name: fill_canary
insert into public.ghostcrm_canary values (1)

-- name: knock
-- Is there any row that the caller sees?
select exists (select from {table}) as seen

-- name: read_rows
-- The rows of each kind, by their keys.
select {name} as table_name, e.key as kind, to_jsonb(x) as row
from jsonb_each(%(keys)s::jsonb -> {name}) e,
     lateral jsonb_populate_record(null::{table}, e.value) as k join {table} x on {same}

-- name: select_rows
-- Which of these rows the caller sees: their places in the list.
select e.n
from jsonb_array_elements(%(value)s) with ordinality as e(row, n),
     lateral jsonb_populate_record(null::{table}, e.row) as k join {table} x on {same}

-- name: update_rows
-- Nothing changes but that it was allowed.
update {table} x set {column} = x.{column}
from jsonb_array_elements(%(value)s) with ordinality as e(row, n),
     lateral jsonb_populate_record(null::{table}, e.row) as k
where {same}
returning e.n

-- name: delete_rows
delete from {table} x
using jsonb_array_elements(%(value)s) with ordinality as e(row, n),
      lateral jsonb_populate_record(null::{table}, e.row) as k
where {same}
returning e.n

-- name: update_blindly
-- Reads no column of the table, so that only the policies for UPDATE are asked.
update {table} set {column} = v.{column} from jsonb_populate_record(null::{table}, %(value)s) v

-- name: delete_blindly
delete from {table} where %(value)s::jsonb is not null

-- name: insert_rows
-- The rows are there already, so nothing is left behind; the policies are asked before the keys.
insert into {table} ({names})
select {names} from jsonb_populate_recordset(null::{table}, %(value)s)
on conflict do nothing
