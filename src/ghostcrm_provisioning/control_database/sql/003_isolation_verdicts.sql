-- What each full attack on a client database found, and what follows from a proof that failed.

-- → ready (released: the proof holds again, and its doors were observed to be open)
alter type client_status add value 'quarantined';  -- observed to be closed to everybody; from ready
alter type client_wish add value 'quarantined';    -- nobody is to be let in, for its isolation is not proven

create table isolation_verdicts (
    id bigint generated always as identity primary key,
    client_id uuid not null references clients on delete restrict,
    database_id uuid not null references client_databases on delete restrict,
    began_at timestamptz not null,
    duration_ms double precision not null check (duration_ms >= 0),
    holds boolean not null,
    findings jsonb not null check (jsonb_typeof(findings) = 'array'),
    attempts jsonb not null check (jsonb_typeof(attempts) = 'object'),
    catalog_fingerprint text not null,
    blueprint text not null,
    blueprint_fingerprint text,
    requested_by text not null,
    program_version text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    check (holds = (jsonb_array_length(findings) = 0))
);
create index isolation_verdicts_of_client on isolation_verdicts (client_id, id desc);
create index isolation_verdicts_of_database on isolation_verdicts (database_id);
create index isolation_verdicts_by_age on isolation_verdicts (began_at);
comment on table isolation_verdicts is
    'Append-only: what was found stays found, whatever is mended afterwards.';
comment on column isolation_verdicts.attempts is 'How many attacks of each kind were made.';
comment on column isolation_verdicts.blueprint_fingerprint is
    'Of the blueprint that was observed in the client database.';

create function refuse_change_of_verdict() returns trigger
    language plpgsql set search_path = '' as $$
begin
    raise exception 'the verdicts are append-only';
end $$;
create trigger isolation_verdicts_are_append_only
    before update or delete or truncate on isolation_verdicts
    execute function refuse_change_of_verdict();

alter table clients
    add column quarantine_verdict_id bigint references isolation_verdicts on delete restrict,
    add column quarantined_at timestamptz,
    add column verification_tried_at timestamptz,
    -- As text: a value of an enum cannot be used in the transaction that adds it.
    add constraint clients_quarantine_has_its_reason
        check (wanted_status::text <> 'quarantined' or quarantine_verdict_id is not null),
    add constraint clients_quarantined_since
        check ((status::text = 'quarantined') = (quarantined_at is not null));
comment on column clients.quarantine_verdict_id is
    'The verdict because of which it was put into quarantine; NULL when it is in none.';
comment on column clients.quarantined_at is 'When its database was observed to be closed.';
comment on column clients.verification_tried_at is
    'When a full attack was last begun, whatever came of it: the nightly sample goes by it, so that a '
    'database which cannot be reached does not stand in the way of the others.';

-- Whoever was not attacked for the longest time comes first; a hand-over is a proof as well.
create index clients_longest_unverified on clients ((coalesce(verification_tried_at, ready_at)), id)
    where status = 'ready';
create index clients_in_quarantine on clients (quarantine_verdict_id)
    where quarantine_verdict_id is not null;

create table verification_rounds (
    night date primary key,
    begun_at timestamptz not null default clock_timestamp(),
    clients integer not null
);
comment on table verification_rounds is
    'One row a night (UTC), whichever worker comes first: it is written together with the jobs.';
