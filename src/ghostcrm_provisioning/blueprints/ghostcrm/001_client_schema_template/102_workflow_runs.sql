-- One execution of a workflow. Written by the service that runs workflows; a record of its own, which
-- the audit log does not repeat.

create table public.workflow_runs (
    id uuid not null default private.uuid_v7(),
    workflow_id uuid not null,
    version integer not null,
    owner_id uuid,
    team_id uuid,
    parent_run_id uuid,
    depth smallint not null default 0,
    status text not null default 'queued',
    priority smallint not null default 0,
    run_at timestamptz not null default now(),
    dedup_key text,
    contact_id uuid,
    company_id uuid,
    deal_id uuid,
    payload jsonb not null default '{}',
    started_at timestamptz,
    finished_at timestamptz,
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint workflow_runs_pkey primary key (id),
    constraint workflow_runs_workflow_id_fkey
        foreign key (workflow_id) references public.workflows (id) on delete cascade,
    constraint workflow_runs_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint workflow_runs_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete set null,
    constraint workflow_runs_parent_run_id_fkey
        foreign key (parent_run_id) references public.workflow_runs (id) on delete set null,
    constraint workflow_runs_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete set null,
    constraint workflow_runs_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete set null,
    constraint workflow_runs_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete set null,
    constraint workflow_runs_workflow_id_dedup_key_key unique (workflow_id, dedup_key),
    constraint workflow_runs_status_known
        check (status in ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),
    -- A workflow that sets off itself ends here.
    constraint workflow_runs_depth_range check (depth between 0 and 10),
    constraint workflow_runs_payload_object check (jsonb_typeof(payload) = 'object')
);

comment on table public.workflow_runs is 'Executions of workflows.';
comment on column public.workflow_runs.status is
    'queued → running ⇄ waiting → succeeded or failed; cancelled from anywhere before the end.';
comment on column public.workflow_runs.owner_id is
    'Owner of the record it is about, who may see the run.';
comment on column public.workflow_runs.depth is
    'How many runs set off one another before this one.';
comment on column public.workflow_runs.dedup_key is 'The same event twice is one run.';
comment on column public.workflow_runs.run_at is 'Not before; moved on while waiting.';

create index workflow_runs_workflow_id_idx on public.workflow_runs (workflow_id, created_at desc);
create index workflow_runs_owner_id_idx on public.workflow_runs (owner_id, created_at desc);
create index workflow_runs_team_id_idx on public.workflow_runs (team_id, created_at desc);
create index workflow_runs_parent_run_id_idx on public.workflow_runs (parent_run_id);
create index workflow_runs_contact_id_idx on public.workflow_runs (contact_id);
create index workflow_runs_company_id_idx on public.workflow_runs (company_id);
create index workflow_runs_deal_id_idx on public.workflow_runs (deal_id);
create index workflow_runs_queue_idx on public.workflow_runs (priority desc, run_at, id)
    where status in ('queued', 'waiting');

create trigger workflow_runs_set_updated_at
    before update on public.workflow_runs
    for each row execute function private.set_updated_at();
create trigger workflow_runs_require_feature
    after insert on public.workflow_runs
    for each row execute function
        private.require_feature('workflows', 'automation', 'advanced_automation');

alter table public.workflow_runs enable row level security;
revoke all on table public.workflow_runs from public, anon, authenticated, service_role;
grant select on table public.workflow_runs to authenticated;
grant all on table public.workflow_runs to service_role;

create policy workflow_runs_select on public.workflow_runs
    for select to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin')
        or (
            (select private.my_role()) = 'manager'
            and team_id = any (array(select private.my_team_ids()))
        )
        or (
            (select private.my_role()) in ('manager', 'sales')
            and owner_id = (select private.my_id())
        )
    );
