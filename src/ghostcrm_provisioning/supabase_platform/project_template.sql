-- Makes the baseline of client databases what a new project on Supabase is: it has a storage schema,
-- and nothing of GhostCRM's. Run once, by our admin login, in the template of all projects.

-- Ours: on Supabase a provisioner has to make these itself.
set role supabase_admin;
drop schema private cascade;
drop schema ghostcrm_provisioning cascade;
-- The Supabase CLI and other tools make it as the project's owner when they first need it.
drop schema supabase_migrations cascade;
revoke all on schema auth, extensions from ghostcrm_client_owner;
reset role;

set role supabase_auth_admin;
revoke all on table auth.users, auth.identities from ghostcrm_client_owner;
alter default privileges in schema auth revoke truncate on tables from ghostcrm_client_owner;
revoke execute on function auth.uid(), auth.role(), auth.email(), auth.jwt() from ghostcrm_client_owner;
grant execute on function auth.uid(), auth.role(), auth.email(), auth.jwt() to public;
reset role;

revoke all on schema public from ghostcrm_client_owner;

-- Storage: its buckets and objects, as far as they are rows.
create schema storage authorization supabase_admin;
set role supabase_admin;
grant usage on schema storage to anon, authenticated, service_role;

create table storage.buckets (
    id text not null,
    name text not null,
    owner uuid,
    owner_id text,
    public boolean default false,
    avif_autodetection boolean default false,
    file_size_limit bigint,
    allowed_mime_types text[],
    created_at timestamptz default now(),
    updated_at timestamptz default now(),

    constraint buckets_pkey primary key (id)
);
create unique index bname on storage.buckets (name);

create table storage.objects (
    id uuid not null default gen_random_uuid(),
    bucket_id text,
    name text,
    owner uuid,
    owner_id text,
    metadata jsonb,
    user_metadata jsonb,
    path_tokens text[] generated always as (string_to_array(name, '/')) stored,
    version text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    last_accessed_at timestamptz default now(),

    constraint objects_pkey primary key (id),
    constraint "objects_bucketId_fkey" foreign key (bucket_id) references storage.buckets (id)
);
create unique index bucketid_objname on storage.objects (bucket_id, name);

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on table storage.buckets, storage.objects to anon, authenticated, service_role;

create function storage.foldername(name text) returns text[]
language sql immutable
set search_path = ''
as $$ select (string_to_array(name, '/'))[1 : array_length(string_to_array(name, '/'), 1) - 1] $$;

create function storage.filename(name text) returns text
language sql immutable
set search_path = ''
as $$ select (string_to_array(name, '/'))[array_length(string_to_array(name, '/'), 1)] $$;
reset role;
