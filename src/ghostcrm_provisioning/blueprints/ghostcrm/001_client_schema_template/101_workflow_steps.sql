-- What a version of a workflow does, in order. To change a workflow, write the steps of the next
-- version and let current_version point at it.

create table public.workflow_steps (
    id uuid not null default private.uuid_v7(),
    workflow_id uuid not null,
    version integer not null,
    position integer not null,
    type text not null,
    name text not null default '',
    condition jsonb not null default '{}',
    config jsonb not null default '{}',
    created_at timestamptz not null default now(),

    constraint workflow_steps_pkey primary key (id),
    constraint workflow_steps_workflow_id_fkey
        foreign key (workflow_id) references public.workflows (id) on delete cascade,
    constraint workflow_steps_workflow_id_version_position_key
        unique (workflow_id, version, position),
    constraint workflow_steps_version_positive check (version > 0),
    constraint workflow_steps_type_known check (type in (
        'send_email', 'create_activity', 'update_record', 'assign_owner', 'add_tag', 'remove_tag',
        'move_stage', 'wait', 'branch', 'webhook', 'notify'
    )),
    constraint workflow_steps_condition_object check (jsonb_typeof(condition) = 'object'),
    constraint workflow_steps_config_object check (jsonb_typeof(config) = 'object')
);

comment on table public.workflow_steps is
    'Steps of each version of a workflow, in order of position. Never changed, only written anew.';
comment on column public.workflow_steps.condition is 'When to do the step; empty means always.';

select private.keep_audit('public.workflow_steps');

alter table public.workflow_steps enable row level security;
revoke all on table public.workflow_steps from public, anon, authenticated, service_role;
grant
    select,
    insert (id, workflow_id, version, position, type, name, condition, config),
    delete
    on table public.workflow_steps to authenticated;
grant all on table public.workflow_steps to service_role;

create policy workflow_steps_select on public.workflow_steps
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager', 'sales'));
create policy workflow_steps_insert on public.workflow_steps
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy workflow_steps_delete on public.workflow_steps
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
