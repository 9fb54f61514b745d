-- A client's plan can be changed: what is wished for, and what each run was asked to do.

alter type run_kind add value 'change_plan';

alter table clients add column wanted_plan text;
update clients set wanted_plan = plan;
alter table clients alter column wanted_plan set not null;
comment on column clients.plan is
    'What was observed in the client''s database; until the client is ready, what it will be born with.';
comment on column clients.wanted_plan is
    'The wish. Another one than plan: its change is under way, or has failed.';

create table plan_changes (
    run_id uuid primary key references runs on delete cascade,
    client_id uuid not null references clients on delete restrict,
    from_plan text not null,
    to_plan text not null,
    -- The person who asked for it has seen what will be over the new limits, and wants it all the same.
    allow_over_limit boolean not null,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    applied_at timestamptz
);
create index plan_changes_by_client on plan_changes (client_id, requested_at desc);
comment on table plan_changes is 'What the runs of the kind change_plan are about.';
comment on column plan_changes.applied_at is 'When it was observed to be so, and recorded.';
