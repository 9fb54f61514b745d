-- Bearer tokens of the admin API. The secret itself is nowhere: only its SHA-256, and it is random.

create table admin_tokens (
    id uuid primary key,
    name text not null check (length(name) between 1 and 100),
    -- The public part of the token: by it the row is found, and people recognise the token.
    prefix text not null unique check (prefix ~ '^[a-z0-9]{8}$'),
    secret_digest bytea not null check (length(secret_digest) = 32),
    scopes text[] not null check (cardinality(scopes) > 0),
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    check ((revoked_at is null) = (revoked_by is null))
);
create unique index admin_tokens_one_of_a_name on admin_tokens (lower(name)) where revoked_at is null;
create index admin_tokens_by_age on admin_tokens (created_at desc, id desc);
comment on column admin_tokens.last_used_at is 'To the minute: it is not written at every call.';
