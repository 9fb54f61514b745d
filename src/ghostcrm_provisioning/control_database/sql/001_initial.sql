-- The control database: clients, their databases, what is done for them and what was done.
--
-- What is wished for (columns wanted_…, accepting) stands apart from what was observed (status,
-- …_at). A row outlives the thing it describes until the absence of that thing was observed.

create table installation (
    id uuid primary key default gen_random_uuid(),
    only_row boolean not null default true unique check (only_row),
    -- A known text, sealed: a process with other keys finds out before it writes anything.
    sealing_check bytea not null,
    created_at timestamptz not null default now()
);
comment on table installation is 'Who we are: every database that we make is stamped with this id.';

create table servers (
    id uuid primary key default gen_random_uuid(),
    name text not null unique check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    provider text not null check (provider in ('postgres', 'supabase')),
    connection_sealed bytea,
    region text,
    client_limit integer check (client_limit > 0),
    accepting boolean not null default true,
    created_at timestamptz not null default now()
);
comment on column servers.connection_sealed is 'NULL: the server that the control database is on.';
comment on column servers.client_limit is 'NULL: no limit.';
comment on column servers.accepting is 'The wish: may new client databases be placed here?';

create type client_status as enum (
    'registered',    -- accepted and queued; → provisioning
    'provisioning',  -- a worker has taken it up; → ready, failed
    'ready',         -- handed over: its database was proven and its admin can log in
    'failed'         -- given up, with a reason; → provisioning (retry)
);

create type client_wish as enum (
    'ready'          -- exists and is usable
);

create table clients (
    id uuid primary key,
    name text not null check (length(name) between 1 and 200),
    plan text not null,
    blueprint text not null,
    wanted_status client_wish not null default 'ready',
    status client_status not null default 'registered',
    -- What makes a second registration the same one; NULL when the caller chose the client's id.
    idempotency_key text unique,
    registration_digest bytea not null,
    registered_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    ready_at timestamptz,
    updated_at timestamptz not null default clock_timestamp()
);
create index clients_by_age on clients (created_at desc, id desc);
create index clients_by_status on clients (status, created_at desc, id desc);

create table client_admins (
    client_id uuid primary key references clients on delete restrict,
    user_id uuid not null unique,
    email text not null,
    must_change_password boolean not null,
    -- bcrypt, sealed; erased at the hand-over, when the client database has it.
    password_hash_sealed bytea
);
create index client_admins_by_email on client_admins (email);

create type client_database_status as enum (
    'planned',       -- has its name, nothing was observed yet
    'present',       -- was observed on its server, with our stamp
    'handed_over'    -- the client uses it
);

create table client_databases (
    id uuid primary key,
    client_id uuid not null unique references clients on delete restrict,
    server_id uuid not null references servers on delete restrict,
    name text not null unique,
    status client_database_status not null default 'planned',
    blueprint_fingerprint text,
    credentials_sealed bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    observed_at timestamptz,
    handed_over_at timestamptz
);
create index client_databases_by_server on client_databases (server_id);
comment on column client_databases.blueprint_fingerprint is
    'What was observed to be installed; NULL until it was.';

create table workers (
    id uuid primary key,
    host text not null,
    process_id integer not null,
    -- false: a command that works on its own request and leaves; nobody may count on it.
    standing boolean not null,
    concurrency integer not null,
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp()
);
comment on table workers is 'Deleted when a worker leaves; one that died is known by its heartbeat.';

create type run_kind as enum ('provision_client');

create type run_status as enum (
    'queued',        -- waits for a worker; → running
    'running',       -- a worker has it; → waiting, succeeded, failed
    'waiting',       -- waits for its next attempt; → running
    'succeeded',     -- every step was observed to be done
    'failed'         -- given up; error says why; a retry queues it again
);

create table runs (
    id uuid primary key,
    client_id uuid not null references clients on delete restrict,
    kind run_kind not null,
    status run_status not null default 'queued',
    priority integer not null default 0,
    -- Raised whenever a worker takes the run up. Whoever holds an older number writes nothing.
    fence integer not null default 0,
    worker_id uuid,
    worker_deaths integer not null default 0,
    next_attempt_at timestamptz,
    error jsonb,
    created_at timestamptz not null default clock_timestamp(),
    -- When it was accepted; after a retry, when that was asked for.
    queued_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz not null default clock_timestamp(),
    check ((status = 'failed') <= (error is not null)),
    check ((status in ('succeeded', 'failed')) = (finished_at is not null))
);
create index runs_by_client on runs (client_id, created_at desc);
create unique index runs_one_unfinished_per_client on runs (client_id)
    where status in ('queued', 'running', 'waiting');
create index runs_unfinished on runs (status, priority desc, created_at)
    where status in ('queued', 'running', 'waiting');
create index runs_by_end on runs (finished_at desc) where finished_at is not null;

create type step_status as enum (
    'pending',       -- its turn has not come
    'running',       -- a worker is at it
    'waiting',       -- waits for its next attempt
    'done',          -- its postcondition was observed
    'failed'         -- given up
);

create table steps (
    run_id uuid not null references runs on delete cascade,
    position integer not null,
    name text not null,
    status step_status not null default 'pending',
    attempt integer not null default 0,
    started_at timestamptz,
    finished_at timestamptz,
    observation text,
    error jsonb,
    primary key (run_id, position),
    unique (run_id, name)
);
comment on column steps.attempt is
    'Which attempt this is or was. Being told to wait and the death of a worker are not attempts.';
comment on column steps.started_at is 'When the first attempt started.';
comment on column steps.observation is 'What was seen when the step was found done.';

create type attempt_outcome as enum (
    'running',
    'done',
    'failed',
    'told_to_wait',
    'abandoned'      -- its worker died or lost its lease
);

create table step_attempts (
    run_id uuid not null,
    position integer not null,
    fence integer not null,
    attempt integer not null,
    worker_id uuid not null,
    outcome attempt_outcome not null default 'running',
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    error jsonb,
    primary key (run_id, position, fence),
    foreign key (run_id, position) references steps on delete cascade
);

create table notifications (
    id bigint generated always as identity primary key,
    client_id uuid references clients on delete set null,
    run_id uuid references runs on delete set null,
    severity text not null check (severity in ('info', 'warning', 'critical')),
    subject text not null,
    body text not null,
    created_at timestamptz not null default clock_timestamp(),
    delivery text not null default 'pending' check (delivery in ('pending', 'delivered', 'unwanted')),
    delivery_attempts integer not null default 0,
    delivery_error text,
    delivered_at timestamptz
);
comment on column notifications.delivery is
    'unwanted: no address is configured; the notification is only kept here.';

create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null,
    action text not null,
    client_id uuid,
    details jsonb not null default '{}'
);
create index audit_log_by_client on audit_log (client_id, id desc);

create function refuse_change() returns trigger language plpgsql set search_path = '' as $$
begin
    raise exception 'the audit log is append-only';
end $$;
create trigger audit_log_is_append_only before update or delete or truncate on audit_log
    execute function refuse_change();

-- Whoever watches a run (a terminal, a page) hears of each change: "<run id> <what> <status>".
create function announce_run() returns trigger language plpgsql set search_path = '' as $$
begin
    if tg_table_name = 'runs' then
        perform pg_catalog.pg_notify('ghostcrm_runs', new.id || ' run ' || new.status);
    else
        perform pg_catalog.pg_notify('ghostcrm_runs', new.run_id || ' step ' || new.status);
    end if;
    return null;
end $$;
create trigger runs_announce after insert or update of status on runs
    for each row execute function announce_run();
create trigger steps_announce after update of status on steps
    for each row execute function announce_run();
