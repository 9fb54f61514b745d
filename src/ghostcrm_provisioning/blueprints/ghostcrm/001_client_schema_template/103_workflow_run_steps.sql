-- What became of each step of a run.

create table public.workflow_run_steps (
    workflow_run_id uuid not null,
    workflow_step_id uuid not null,
    status text not null default 'pending',
    attempts smallint not null default 0,
    started_at timestamptz,
    finished_at timestamptz,
    output jsonb not null default '{}',
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint workflow_run_steps_pkey primary key (workflow_run_id, workflow_step_id),
    constraint workflow_run_steps_workflow_run_id_fkey
        foreign key (workflow_run_id) references public.workflow_runs (id) on delete cascade,
    constraint workflow_run_steps_workflow_step_id_fkey
        foreign key (workflow_step_id) references public.workflow_steps (id) on delete cascade,
    constraint workflow_run_steps_status_known
        check (status in ('pending', 'running', 'waiting', 'succeeded', 'skipped', 'failed')),
    constraint workflow_run_steps_attempts_not_negative check (attempts >= 0)
);

comment on table public.workflow_run_steps is 'What became of each step of a run.';
comment on column public.workflow_run_steps.status is 'skipped: its condition did not hold.';

create index workflow_run_steps_workflow_step_id_idx on public.workflow_run_steps
    (workflow_step_id);

create trigger workflow_run_steps_set_updated_at
    before update on public.workflow_run_steps
    for each row execute function private.set_updated_at();

alter table public.workflow_run_steps enable row level security;
revoke all on table public.workflow_run_steps from public, anon, authenticated, service_role;
grant select on table public.workflow_run_steps to authenticated;
grant all on table public.workflow_run_steps to service_role;

create policy workflow_run_steps_select on public.workflow_run_steps
    for select to authenticated
    using (
        exists (select 1 from public.workflow_runs r where r.id = workflow_run_steps.workflow_run_id)
    );
