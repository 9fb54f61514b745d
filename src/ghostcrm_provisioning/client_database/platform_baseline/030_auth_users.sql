-- Users and identities in the shape that GoTrue's migrations end with, so that an admin can be put
-- in before GoTrue has ever been started, and so that its migrations find nothing left to change.

set role supabase_auth_admin;

create table auth.users (
    instance_id uuid,
    id uuid not null,
    aud varchar(255),
    role varchar(255),
    email varchar(255),
    encrypted_password varchar(255),
    email_confirmed_at timestamptz,
    invited_at timestamptz,
    confirmation_token varchar(255),
    confirmation_sent_at timestamptz,
    recovery_token varchar(255),
    recovery_sent_at timestamptz,
    email_change_token_new varchar(255),
    email_change varchar(255),
    email_change_sent_at timestamptz,
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_super_admin boolean,
    created_at timestamptz,
    updated_at timestamptz,
    phone text default null,
    phone_confirmed_at timestamptz,
    phone_change text default '',
    phone_change_token varchar(255) default '',
    phone_change_sent_at timestamptz,
    confirmed_at timestamptz
        generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
    email_change_token_current varchar(255) default '',
    email_change_confirm_status smallint default 0,
    banned_until timestamptz,
    reauthentication_token varchar(255) default '',
    reauthentication_sent_at timestamptz,
    is_sso_user boolean not null default false,
    deleted_at timestamptz,
    is_anonymous boolean not null default false,

    constraint users_pkey primary key (id),
    constraint users_phone_key unique (phone),
    constraint users_email_change_confirm_status_check
        check (email_change_confirm_status between 0 and 2)
);

comment on table auth.users is 'Auth: Stores user login data within a secure schema.';

create index users_instance_id_idx on auth.users (instance_id);
create index users_instance_id_email_idx on auth.users (instance_id, lower(email));
create index users_is_anonymous_idx on auth.users (is_anonymous);
create unique index users_email_partial_key on auth.users (email) where is_sso_user = false;
-- A token is unique unless it is empty or a short numeric code.
create unique index confirmation_token_idx on auth.users (confirmation_token)
    where confirmation_token !~ '^[0-9 ]*$';
create unique index recovery_token_idx on auth.users (recovery_token)
    where recovery_token !~ '^[0-9 ]*$';
create unique index email_change_token_current_idx on auth.users (email_change_token_current)
    where email_change_token_current !~ '^[0-9 ]*$';
create unique index email_change_token_new_idx on auth.users (email_change_token_new)
    where email_change_token_new !~ '^[0-9 ]*$';
create unique index reauthentication_token_idx on auth.users (reauthentication_token)
    where reauthentication_token !~ '^[0-9 ]*$';

create table auth.identities (
    provider_id text not null,
    user_id uuid not null,
    identity_data jsonb not null,
    provider text not null,
    last_sign_in_at timestamptz,
    created_at timestamptz,
    updated_at timestamptz,
    email text generated always as (lower(identity_data ->> 'email')) stored,
    id uuid not null default gen_random_uuid(),

    constraint identities_pkey primary key (id),
    constraint identities_provider_id_provider_unique unique (provider_id, provider),
    constraint identities_user_id_fkey
        foreign key (user_id) references auth.users (id) on delete cascade
);

comment on table auth.identities is 'Auth: Stores identities associated to a user.';

create index identities_user_id_idx on auth.identities (user_id);
create index identities_email_idx on auth.identities (email text_pattern_ops);

-- GoTrue's memory of its own migrations. These four must not run: on final-shape tables one of them
-- would silently drop the primary key of identities, and the others fill in identities for users
-- that have none and stop at a user with a password.
create table auth.schema_migrations (
    version varchar(255) not null,
    constraint schema_migrations_pkey primary key (version)
);

comment on table auth.schema_migrations is 'Auth: Manages updates to the auth system.';

insert into auth.schema_migrations (version) values
    ('20221125140132'),
    ('20221208132122'),
    ('20230131181311'),
    ('20231117164230');

-- As on Supabase: row level security without a policy, so that only Auth reads and writes users. The
-- owner of the client's schema may refer to them from foreign keys and triggers, and empty the tables
-- as the Supabase CLI's `db reset` does. (It also drops every policy it finds, for which it would have
-- to own the tables: another reason to have none here.)
alter table auth.users enable row level security;
alter table auth.identities enable row level security;
alter table auth.schema_migrations enable row level security;

revoke all on table auth.users, auth.identities, auth.schema_migrations
    from public, anon, authenticated, service_role;
grant select, references, trigger, truncate on table auth.users, auth.identities
    to ghostcrm_client_owner;
-- Of GoTrue's other tables, which it makes when it first starts, too.
alter default privileges in schema auth grant truncate on tables to ghostcrm_client_owner;

reset role;
