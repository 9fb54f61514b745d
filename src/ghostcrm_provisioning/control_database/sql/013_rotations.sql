-- What opens a client's database is exchanged: passwords, keys, or both.

alter type run_kind add value 'rotate_credentials';

create table credential_rotations (
    run_id uuid primary key references runs on delete cascade,
    client_id uuid not null references clients on delete restrict,
    database_id uuid not null references client_databases on delete restrict,
    -- Of this database; the keys of a project carry it in their names.
    number integer not null check (number > 0),
    passwords boolean not null,
    keys boolean not null,
    -- Also switch off the older keys of a project, which cannot be exchanged one by one.
    legacy_keys boolean not null,
    end_sessions boolean not null,
    reason text check (length(reason) between 1 and 500),
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    -- The database was told the new passwords.
    passwords_set_at timestamptz,
    -- The new ones were seen to open what they are for; from here on they are the client's.
    replaced_at timestamptz,
    retired_at timestamptz,
    -- Names of keys that are somebody else's and were left.
    keys_left text[] not null default '{}',
    unique (database_id, number),
    check (passwords or keys),
    check (keys or not legacy_keys),
    check (passwords or not end_sessions),
    check (retired_at is null or replaced_at is not null)
);
create index credential_rotations_by_client on credential_rotations (client_id, requested_at desc);
comment on table credential_rotations is
    'What the runs of the kind rotate_credentials were asked to do. Nothing secret stands here: the new '
    'credentials are sealed beside the current ones until they have replaced them.';
