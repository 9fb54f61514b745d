-- People who operate this installation, and their sessions in the dashboard. They are not the admins of
-- clients: those live in the clients' own databases.

create table admin_accounts (
    id uuid primary key,
    email text not null unique check (email = lower(email) and length(email) between 3 and 254),
    password_hash text not null check (password_hash ~ '^\$2[ab]\$'),
    -- The password was made by us or by another admin: only its change is possible with it.
    must_change_password boolean not null,
    -- None: may sign in, and see nothing.
    scopes text[] not null default '{}',
    -- The user of the main project whose JWTs are this account's: set by an admin, never by a claim.
    main_project_user_id uuid unique,
    -- Raised with password, scopes and disabling: a session that began with an older one is over.
    version integer not null default 1,
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    password_changed_at timestamptz not null default clock_timestamp(),
    last_signed_in_at timestamptz,
    disabled_at timestamptz,
    disabled_by text,
    check ((disabled_at is null) = (disabled_by is null))
);

create table admin_sessions (
    id uuid primary key,
    -- SHA-256 of the cookie, which is random; the cookie itself is nowhere here.
    secret_digest bytea not null unique check (length(secret_digest) = 32),
    account_id uuid not null references admin_accounts on delete cascade,
    account_version integer not null,
    address text not null,
    user_agent text not null,
    signed_in_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    confirmed_at timestamptz not null default clock_timestamp()
);
create index admin_sessions_by_account on admin_sessions (account_id, last_seen_at desc);
create index admin_sessions_by_last_use on admin_sessions (last_seen_at);
comment on column admin_sessions.last_seen_at is 'Not written at every request: a thirtieth of the idle time apart.';
comment on column admin_sessions.confirmed_at is 'When the password was last given: at the sign-in, or again for a sensitive action.';

-- How often signing in has failed: for an account from one address, for an account from all unfamiliar
-- addresses, and for an address. Emails are kept as digests: people type passwords into the wrong field.
create table sign_in_counters (
    key bytea primary key check (length(key) = 32),
    -- The email's own digest, so that all counters of an account can be found; null for an address.
    email_digest bytea check (length(email_digest) = 32),
    failures integer not null check (failures >= 0),
    last_failed_at timestamptz not null,
    refused_until timestamptz,
    last_succeeded_at timestamptz
);
create index sign_in_counters_by_email on sign_in_counters (email_digest);
create index sign_in_counters_by_age on sign_in_counters (last_failed_at);
