-- The platform's own database: what Supabase knows of organizations and projects. What is inside a
-- project is in the project's database.

create table platform (
    only_row boolean primary key default true check (only_row),
    -- Opens with the keys of this home, or the sealed columns below are lost.
    sealing_check bytea not null,
    made_at timestamptz not null default now()
);

create table organizations (
    slug text primary key check (slug ~ '^[\w-]+$'),
    name text not null check (length(name) between 1 and 256),
    created_at timestamptz not null default now()
);

create table projects (
    id uuid primary key,
    -- What a deletion answers as the project's id.
    number bigint generated always as identity unique,
    ref text not null unique check (ref ~ '^[a-z]{20}$'),
    organization_slug text not null references organizations,
    name text not null check (length(name) between 1 and 256),
    region text not null,
    instance_size text not null,

    -- creating → active ⇄ pausing → paused → restoring → active; from each of them removing → removed.
    -- creating → failed. What callers are shown follows from it, with the times below.
    state text not null default 'creating'
        check (state in ('creating', 'active', 'pausing', 'paused', 'restoring', 'failed', 'removing', 'removed')),
    -- Until then a caller is shown that it is on its way: as on Supabase, arriving takes time.
    settles_at timestamptz,
    -- Asked for by a fault: the status that is shown, whatever the truth is.
    stuck_as text,
    -- Why it failed, for whoever runs the platform.
    failure text,
    -- Asked for by a fault: it may have the name of another one.
    shares_name boolean not null default false,

    -- JSON, sealed: the passwords of the logins, the JWT secret, the signing key.
    secrets bytea not null,
    -- JSON, sealed, for it holds the password of a mail server: what was set of the Auth settings.
    auth_settings bytea,
    postgrest_settings jsonb not null default '{}',
    storage_settings jsonb not null default '{}',
    network_restrictions jsonb,
    legacy_keys_enabled boolean not null default true,

    created_at timestamptz not null default now(),
    removed_at timestamptz
);

create index projects_organization_slug_idx on projects (organization_slug);
create unique index projects_name_key on projects (organization_slug, name)
    where state <> 'removed' and not shares_name;

create table api_keys (
    id uuid primary key,
    project_id uuid not null references projects,
    type text not null check (type in ('publishable', 'secret')),
    name text not null,
    description text,
    secret_jwt_template jsonb,
    -- What may be shown of it.
    prefix text not null,
    -- SHA-256, by which a caller's key is found.
    digest bytea not null unique,
    sealed_key bytea not null,
    inserted_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint api_keys_name_key unique (project_id, type, name)
);

create table faults (
    id uuid primary key,
    kind text not null
        check (kind in ('drop_reply', 'error_before', 'error_after', 'too_many_requests', 'silence', 'stuck', 'duplicate_name')),
    -- Which requests it meets: a method (or any), and a pattern of the path with * for anything.
    method text,
    path text not null default '*',
    -- How many requests it still meets; null is any number.
    remaining integer check (remaining >= 0),
    -- Of an error; of a silence or the wait that is asked for; of a project that is stuck.
    status integer check (status between 400 and 599),
    seconds double precision check (seconds >= 0),
    state text,
    met integer not null default 0,
    created_at timestamptz not null default now()
);
