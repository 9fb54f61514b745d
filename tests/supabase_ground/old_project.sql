-- Makes the database of a new project on our local platform (platform_baseline, then
-- project_template.sql) into what a project at Supabase from before 2026 is, as far as that bears on
-- isolation: its other schemas, what stands in them, and who may use it; an owner with CREATEROLE and
-- BYPASSRLS, for whom everything that is made in public is open. After Supabase's own migrations
-- (github.com/supabase/postgres, migrations/db). Run by a superuser.

grant anon, authenticated, service_role to {owner} with admin option;

grant usage on schema auth, storage to {owner};
grant usage, create on schema extensions to {owner};
grant all on all tables in schema auth to {owner};
grant all on all tables in schema storage to {owner} with grant option;
revoke all on table auth.schema_migrations from {owner};

grant usage on schema public to public;
grant usage, create on schema public to {owner} with grant option;
alter default privileges for role {owner} in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role {owner} in schema public
    grant all on functions to anon, authenticated, service_role;
alter default privileges for role {owner} in schema public
    grant all on sequences to anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
    grant all on tables to anon, authenticated, service_role;

-- A public bucket's files, for everyone.
create policy "public avatars" on storage.objects for select using (bucket_id = 'avatars');
insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true);
insert into storage.objects (bucket_id, name) values ('avatars', 'a.png');
create function storage.search(prefix text) returns setof text
language sql security definer as $$ select name from storage.objects where starts_with(name, prefix) $$;
alter function storage.search(text) owner to supabase_storage_admin;

create schema realtime authorization supabase_admin;
grant usage on schema realtime to anon, authenticated, service_role, {owner};
create table realtime.messages (id bigint primary key, topic text not null);
alter table realtime.messages owner to supabase_realtime_admin;
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role, {owner};
create table realtime.subscription (id bigint primary key);
alter table realtime.subscription owner to supabase_admin;
grant select on realtime.subscription to anon, authenticated, {owner};
insert into realtime.subscription values (1);

create schema graphql authorization supabase_admin;
create schema graphql_public authorization supabase_admin;
grant usage on schema graphql, graphql_public to anon, authenticated, service_role, {owner};
create function graphql_public.graphql(query text) returns jsonb language sql as $$ select '{{}}'::jsonb $$;
alter function graphql_public.graphql(text) owner to supabase_admin;

create schema vault authorization supabase_admin;
create view vault.decrypted_secrets as select 'secret' as secret;
alter view vault.decrypted_secrets owner to supabase_admin;

create schema net authorization supabase_admin;
grant usage on schema net to anon, authenticated, service_role, {owner};
create function net.http_get(url text) returns bigint
language sql security definer set search_path = net as $$ select 1::bigint $$;
alter function net.http_get(text) owner to supabase_admin;
grant execute on function net.http_get(text) to anon, authenticated;

create schema pgbouncer authorization pgbouncer;
create function pgbouncer.get_auth(username text) returns text
language sql security definer as $$ select username $$;
-- Of projects from before Supabase took its superuser rights away, the owner's.
alter function pgbouncer.get_auth(text) owner to {owner};
create function extensions.grant_pg_cron_access() returns event_trigger language plpgsql as $$ begin end $$;
alter function extensions.grant_pg_cron_access() owner to {owner};
grant usage on schema pgbouncer to pgbouncer;

-- With "enable automatic RLS" when the project was made.
create function public.rls_auto_enable() returns event_trigger
language plpgsql security definer set search_path = 'pg_catalog' as $$
declare
    made record;
begin
    for made in
        select object_identity from pg_event_trigger_ddl_commands()
        where object_type in ('table', 'partitioned table') and schema_name = 'public'
    loop
        execute format('alter table %s enable row level security', made.object_identity);
    end loop;
end
$$;
create event trigger ensure_rls on ddl_command_end
    when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
    execute function public.rls_auto_enable();
alter function public.rls_auto_enable() owner to {owner};
grant execute on function public.rls_auto_enable() to anon, authenticated, service_role;

-- What the Supabase CLI has made, with the columns that it has added since.
create schema supabase_migrations authorization {owner};
create table supabase_migrations.schema_migrations (
    version text not null primary key,
    statements text[],
    name text,
    created_by text,
    idempotency_key text unique,
    rollback text[]
);
alter table supabase_migrations.schema_migrations owner to {owner};
