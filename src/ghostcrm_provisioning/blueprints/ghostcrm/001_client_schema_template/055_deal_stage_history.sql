-- How a deal went through its stages. Written by a trigger, never by hand, and only growing, for the
-- schema's owner too: a log of its own, which the audit log does not repeat.

create table public.deal_stage_history (
    id bigint generated always as identity,
    deal_id uuid not null,
    from_stage_id uuid,
    to_stage_id uuid,
    from_type text,
    to_type text not null,
    changed_by uuid,
    changed_at timestamptz not null default now(),
    seconds_in_stage bigint,

    constraint deal_stage_history_pkey primary key (id),
    constraint deal_stage_history_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete cascade,
    -- A stage that no deal is in any more may go; the types keep telling what happened.
    constraint deal_stage_history_from_stage_id_fkey
        foreign key (from_stage_id) references public.pipeline_stages (id) on delete set null,
    constraint deal_stage_history_to_stage_id_fkey
        foreign key (to_stage_id) references public.pipeline_stages (id) on delete set null,
    constraint deal_stage_history_changed_by_fkey
        foreign key (changed_by) references public.profiles (id) on delete set null
);

comment on table public.deal_stage_history is
    'Every move of a deal from stage to stage, the first one from nowhere.';
comment on column public.deal_stage_history.changed_by is 'Null when a service did it.';
comment on column public.deal_stage_history.seconds_in_stage is
    'How long the deal had been in the stage it left.';

create index deal_stage_history_deal_id_idx on public.deal_stage_history (deal_id, changed_at desc);
create index deal_stage_history_from_stage_id_idx on public.deal_stage_history (from_stage_id);
create index deal_stage_history_to_stage_id_idx on public.deal_stage_history (to_stage_id);
create index deal_stage_history_changed_by_idx on public.deal_stage_history (changed_by);

create or replace function private.record_stage_change() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into public.deal_stage_history
        (deal_id, from_stage_id, to_stage_id, from_type, to_type, changed_by, seconds_in_stage)
    values (
        new.id,
        case when tg_op = 'UPDATE' then old.stage_id end,
        new.stage_id,
        case when tg_op = 'UPDATE' then old.status end,
        new.status,
        private.my_id(),
        case when tg_op = 'UPDATE' then
            extract(epoch from new.stage_entered_at - old.stage_entered_at)::bigint
        end
    );
    return null;
end
$$;

revoke all on function private.record_stage_change() from public, anon, authenticated;

create trigger deals_record_first_stage
    after insert on public.deals
    for each row execute function private.record_stage_change();
create trigger deals_record_stage_change
    after update on public.deals
    for each row when (old.stage_id is distinct from new.stage_id)
    execute function private.record_stage_change();

-- History goes with its deal and not before it; a stage or profile that goes takes its key along.
create or replace function private.keep_stage_history() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    keys constant text[] := '{from_stage_id,to_stage_id,changed_by}';
begin
    if tg_op = 'UPDATE' then
        if to_jsonb(new) - keys = to_jsonb(old) - keys
           and coalesce(new.from_stage_id, old.from_stage_id) is not distinct from old.from_stage_id
           and coalesce(new.to_stage_id, old.to_stage_id) is not distinct from old.to_stage_id
           and coalesce(new.changed_by, old.changed_by) is not distinct from old.changed_by
        then
            return new;
        end if;
    elsif tg_op = 'DELETE' then
        if not exists (select from public.deals d where d.id = old.deal_id) then
            return old;
        end if;
    elsif not exists (select from public.deals) then
        return null;
    end if;
    raise exception '%.% only grows: % is not possible', tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end
$$;

comment on function private.keep_stage_history() is
    'Trigger: what happened to a deal that is there does not change.';

revoke all on function private.keep_stage_history() from public, anon, authenticated;

create trigger deal_stage_history_append_only
    before update or delete on public.deal_stage_history
    for each row execute function private.keep_stage_history();
create trigger deal_stage_history_no_truncate
    after truncate on public.deal_stage_history
    for each statement execute function private.keep_stage_history();

alter table public.deal_stage_history enable row level security;
revoke all on table public.deal_stage_history from public, anon, authenticated, service_role;
-- History is read, by the service too; only the trigger writes it.
grant select on table public.deal_stage_history to authenticated, service_role;

create policy deal_stage_history_select on public.deal_stage_history
    for select to authenticated
    using (exists (select 1 from public.deals d where d.id = deal_stage_history.deal_id));
