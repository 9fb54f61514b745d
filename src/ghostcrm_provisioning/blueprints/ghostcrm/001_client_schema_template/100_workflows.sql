-- Automation: when something happens, do these steps. Steps belong to a version; a run keeps to the
-- version it began with, whatever is edited meanwhile.

create table public.workflows (
    id uuid not null default private.uuid_v7(),
    name text not null,
    description text not null default '',
    trigger_type text not null,
    trigger_entity text,
    trigger_config jsonb not null default '{}',
    current_version integer not null default 1,
    is_active boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint workflows_pkey primary key (id),
    constraint workflows_name_not_blank check (btrim(name) <> ''),
    constraint workflows_trigger_type_known check (trigger_type in
        ('record_created', 'record_updated', 'stage_changed', 'date_reached', 'schedule', 'manual')),
    constraint workflows_trigger_entity_known
        check (trigger_entity in (
            'contacts', 'companies', 'deals', 'activities', 'appointments', 'invoices'
        )),
    constraint workflows_trigger_has_entity
        check (trigger_type in ('schedule', 'manual') or trigger_entity is not null),
    constraint workflows_trigger_config_object check (jsonb_typeof(trigger_config) = 'object'),
    constraint workflows_current_version_positive check (current_version > 0)
);

comment on table public.workflows is 'Automation: when something happens, do these steps.';
comment on column public.workflows.trigger_config is
    'Watched columns, conditions, or a cron expression, by trigger_type.';
comment on column public.workflows.current_version is
    'Version of workflow_steps that new runs take.';

create index workflows_trigger_idx on public.workflows (trigger_entity, trigger_type)
    where is_active;

create trigger workflows_set_updated_at
    before update on public.workflows
    for each row execute function private.set_updated_at();
select private.keep_audit('public.workflows');
-- New ones, and switching one on, need the feature; what is there can be read, edited and deleted.
create trigger workflows_require_feature
    after insert on public.workflows
    for each row execute function
        private.require_feature('workflows', 'automation', 'advanced_automation');
create trigger workflows_require_feature_to_run
    after update of is_active on public.workflows
    for each row when (new.is_active and not old.is_active)
    execute function
        private.require_feature('workflows', 'automation', 'advanced_automation');

alter table public.workflows enable row level security;
revoke all on table public.workflows from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, name, description, trigger_type, trigger_entity, trigger_config,
        current_version, is_active
    ),
    update (
        name, description, trigger_type, trigger_entity, trigger_config, current_version,
        is_active
    ),
    delete
    on table public.workflows to authenticated;
grant all on table public.workflows to service_role;

create policy workflows_select on public.workflows
    for select to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager', 'sales'));
create policy workflows_insert on public.workflows
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy workflows_update on public.workflows
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin'))
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy workflows_delete on public.workflows
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
