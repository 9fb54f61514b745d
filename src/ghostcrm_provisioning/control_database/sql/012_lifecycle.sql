-- The rest of a client's life: suspended and resumed, exported, deleted; and what stays of it afterwards.

alter type run_kind add value 'suspend_client';
alter type run_kind add value 'resume_client';
alter type run_kind add value 'delete_client';

-- observed to be closed to everybody, because it was asked for; from ready; → ready (resumed, and proven
-- before anybody was let in), quarantined (it could not be proven), deleting
alter type client_status add value 'suspended';
-- observed to be closed, or not to run; from any; → deleted
alter type client_status add value 'deleting';
-- nothing is left of its database: that was observed; the end
alter type client_status add value 'deleted';
alter type client_wish add value 'suspended';      -- nobody is to be let in, until it is resumed
alter type client_wish add value 'deleted';        -- it is to be gone, for ever
alter type client_database_status add value 'absent';  -- its absence was observed

alter table clients
    add column suspended_at timestamptz,
    add column deleted_at timestamptz,
    -- As text: a value of an enum cannot be used in the transaction that adds it.
    add constraint clients_suspended_since
        check ((status::text = 'suspended') = (suspended_at is not null)),
    add constraint clients_deleted_since
        check ((status::text = 'deleted') = (deleted_at is not null)),
    add constraint clients_deleted_as_wished
        check (status::text not in ('deleting', 'deleted') or wanted_status::text = 'deleted');
comment on column clients.suspended_at is 'When its database was observed to be closed.';
comment on column clients.deleted_at is 'When the absence of its database was observed. Name and plan stay.';

alter table client_databases
    alter column credentials_sealed drop not null,
    add column absent_at timestamptz,
    add column absence text,
    add constraint client_databases_absent_since check (
        (status::text = 'absent') = (absent_at is not null and absence is not null)
    ),
    add constraint client_databases_have_credentials check (
        (status::text = 'absent') = (credentials_sealed is null)
    );
comment on column client_databases.absence is
    'What was seen of its absence: with absent_at, the certificate that it is gone.';

create table lifecycle_changes (
    run_id uuid primary key references runs on delete cascade,
    client_id uuid not null references clients on delete restrict,
    -- A dump of the client's data is written and seen first.
    with_export boolean not null,
    reason text check (length(reason) between 1 and 500),
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp()
);
create index lifecycle_changes_by_client on lifecycle_changes (client_id, requested_at desc);
comment on table lifecycle_changes is
    'What the runs of the kinds suspend_client, resume_client and delete_client were asked to do.';

create table client_exports (
    id uuid primary key,
    client_id uuid not null references clients on delete restrict,
    database_id uuid not null references client_databases on delete restrict,
    run_id uuid references runs on delete set null,
    requested_by text not null,
    reason text check (length(reason) between 1 and 500),
    taken_at timestamptz not null,
    -- On which machine, and where there, the manifest lies; it names the files beside it.
    host text not null,
    manifest_path text not null,
    manifest jsonb not null check (jsonb_typeof(manifest) = 'object'),
    bytes bigint not null check (bytes >= 0),
    recorded_at timestamptz not null default clock_timestamp()
);
create index client_exports_of_client on client_exports (client_id, taken_at desc);
create index client_exports_of_run on client_exports (run_id) where run_id is not null;
create index client_exports_of_database on client_exports (database_id);
comment on table client_exports is 'Dumps that were written and seen. The rows outlive client and files.';
