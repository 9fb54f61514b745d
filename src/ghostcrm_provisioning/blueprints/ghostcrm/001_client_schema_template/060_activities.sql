-- What happened and what is to be done: calls, emails, meetings, tasks, notes.

create table public.activities (
    id uuid not null default private.uuid_v7(),
    owner_id uuid,
    team_id uuid,
    type text not null,
    subject text not null default '',
    body text not null default '',
    direction text,
    priority text not null default 'normal',
    contact_id uuid,
    company_id uuid,
    deal_id uuid,
    is_private boolean not null default false,
    record_owner_key uuid,
    record_team_id uuid,
    occurred_at timestamptz not null default now(),
    duration_seconds integer,
    due_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint activities_pkey primary key (id),
    constraint activities_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint activities_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete restrict,
    constraint activities_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete cascade,
    constraint activities_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete cascade,
    constraint activities_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete cascade,
    constraint activities_type_known check (type in ('call', 'email', 'meeting', 'task', 'note')),
    -- One real foreign key for each kind of target. Only a task may stand alone.
    constraint activities_one_target check (
        num_nonnulls(contact_id, company_id, deal_id) = 1
        or (type = 'task' and num_nonnulls(contact_id, company_id, deal_id) = 0)
    ),
    constraint activities_says_something check (btrim(subject || body) <> ''),
    constraint activities_direction_known check (direction in ('inbound', 'outbound')),
    constraint activities_direction_fits_type
        check (direction is null or type in ('call', 'email')),
    constraint activities_priority_known check (priority in ('low', 'normal', 'high')),
    constraint activities_duration_seconds_not_negative check (duration_seconds >= 0),
    constraint activities_completion_fits_type
        check (type in ('task', 'call', 'meeting') or (due_at is null and completed_at is null)),
    constraint activities_private_has_owner check (not is_private or owner_id is not null)
);

comment on table public.activities is
    'The timeline of a contact, company or deal, and everybody''s tasks.';
comment on column public.activities.is_private is
    'Seen by its owner only, whatever role others have.';
comment on column public.activities.record_owner_key is
    'Owner of the contact, company or deal that this is about; the uuid of zeros when it has none, '
    'null when it is deleted. A copy, kept by triggers, so that a timeline need not ask for each '
    'entry whether its record is visible.';
comment on column public.activities.record_team_id is
    'Team of the record that this is about, likewise; null when it is deleted.';
comment on column public.activities.occurred_at is
    'Place in the timeline; for a task, when it was written down.';
comment on column public.activities.due_at is 'When a task, call or meeting is to be done.';
comment on column public.activities.completed_at is 'When it was done.';

create index activities_owner_id_idx on public.activities (owner_id, occurred_at desc);
create index activities_team_id_idx on public.activities (team_id, occurred_at desc);
create index activities_list_idx on public.activities (occurred_at desc, id desc);
create index activities_contact_id_idx on public.activities (contact_id, occurred_at desc, id desc);
create index activities_company_id_idx on public.activities (company_id, occurred_at desc, id desc);
create index activities_deal_id_idx on public.activities (deal_id, occurred_at desc, id desc);
create index activities_to_do_idx on public.activities (owner_id, due_at)
    where due_at is not null and completed_at is null;

-- Who may see the record may see what happened with it. Asking the record for each entry makes a
-- salesperson's list of the newest fifty read every activity there is, so the entry carries what the
-- policy needs. The record is locked while an entry about it is written: nobody hands it over in
-- between, and the hand-over that waits finds the entry.
create or replace function private.follow_record() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    nobody constant uuid := '00000000-0000-0000-0000-000000000000';
begin
    new.record_owner_key := null;
    new.record_team_id := null;
    if new.contact_id is not null then
        select case when r.deleted_at is null then coalesce(r.owner_id, nobody) end,
               case when r.deleted_at is null then r.team_id end
        into new.record_owner_key, new.record_team_id
        from public.contacts r where r.id = new.contact_id for no key update;
    elsif new.company_id is not null then
        select case when r.deleted_at is null then coalesce(r.owner_id, nobody) end,
               case when r.deleted_at is null then r.team_id end
        into new.record_owner_key, new.record_team_id
        from public.companies r where r.id = new.company_id for no key update;
    elsif new.deal_id is not null then
        select case when r.deleted_at is null then coalesce(r.owner_id, nobody) end,
               case when r.deleted_at is null then r.team_id end
        into new.record_owner_key, new.record_team_id
        from public.deals r where r.id = new.deal_id for no key update;
    end if;
    return new;
end
$$;

create or replace function private.tell_activities() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    owner_key constant uuid := case when new.deleted_at is null then
        coalesce(new.owner_id, '00000000-0000-0000-0000-000000000000') end;
    team_key constant uuid := case when new.deleted_at is null then new.team_id end;
begin
    case tg_table_name
        when 'contacts' then
            update public.activities a set record_owner_key = owner_key, record_team_id = team_key
            where a.contact_id = new.id;
        when 'companies' then
            update public.activities a set record_owner_key = owner_key, record_team_id = team_key
            where a.company_id = new.id;
        when 'deals' then
            update public.activities a set record_owner_key = owner_key, record_team_id = team_key
            where a.deal_id = new.id;
    end case;
    return null;
end
$$;

comment on function private.follow_record() is
    'Trigger: an activity carries owner and team of the record that it is about.';
comment on function private.tell_activities() is
    'Trigger: the activities of a record that is handed over, deleted or restored follow it.';

revoke all on function private.follow_record(), private.tell_activities()
    from public, anon, authenticated;

create or replace function private.note_last_activity() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- What is dated ahead counts as of now, or a date in the year 9999 would stay for ever.
    noted_at constant timestamptz := least(new.occurred_at, now());
begin
    update public.contacts c
    set last_activity_at = noted_at
    where c.id = new.contact_id
      and (c.last_activity_at is null or c.last_activity_at < noted_at);
    return null;
end
$$;

revoke all on function private.note_last_activity() from public, anon, authenticated;

create trigger activities_check_new_links
    before insert on public.activities
    for each row when (
        new.contact_id is not null
        or new.company_id is not null
        or new.deal_id is not null
    )
    execute function private.check_links('contact_id', 'company_id', 'deal_id');
create trigger activities_check_changed_links
    before update of contact_id, company_id, deal_id on public.activities
    for each row when (
        new.contact_id is distinct from old.contact_id
        or new.company_id is distinct from old.company_id
        or new.deal_id is distinct from old.deal_id
    )
    execute function private.check_links('contact_id', 'company_id', 'deal_id');
create trigger activities_follow_record
    before insert or update of contact_id, company_id, deal_id on public.activities
    for each row execute function private.follow_record();
create trigger contacts_tell_activities
    after update of owner_id, team_id, deleted_at on public.contacts
    for each row when (
        (old.owner_id, old.team_id, old.deleted_at) is distinct from
        (new.owner_id, new.team_id, new.deleted_at)
    )
    execute function private.tell_activities();
create trigger companies_tell_activities
    after update of owner_id, team_id, deleted_at on public.companies
    for each row when (
        (old.owner_id, old.team_id, old.deleted_at) is distinct from
        (new.owner_id, new.team_id, new.deleted_at)
    )
    execute function private.tell_activities();
create trigger deals_tell_activities
    after update of owner_id, team_id, deleted_at on public.deals
    for each row when (
        (old.owner_id, old.team_id, old.deleted_at) is distinct from
        (new.owner_id, new.team_id, new.deleted_at)
    )
    execute function private.tell_activities();
create trigger activities_note_last_activity
    after insert on public.activities
    for each row when (new.contact_id is not null and new.type <> 'task' and not new.is_private)
    execute function private.note_last_activity();
-- Not when only its record was handed over: the entry itself has not changed.
create trigger activities_set_updated_at
    before update of
        owner_id, team_id, type, subject, body, direction, priority, contact_id, company_id,
        deal_id, is_private, occurred_at, duration_seconds, due_at, completed_at
    on public.activities
    for each row execute function private.set_updated_at();
select private.keep_audit('public.activities');

alter table public.activities enable row level security;
revoke all on table public.activities from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, team_id, type, subject, body, direction, priority, contact_id,
        company_id, deal_id, is_private, occurred_at, duration_seconds, due_at, completed_at
    ),
    update (
        owner_id, team_id, type, subject, body, direction, priority, contact_id, company_id,
        deal_id, is_private, occurred_at, duration_seconds, due_at, completed_at
    ),
    delete
    on table public.activities to authenticated;
grant all on table public.activities to service_role;

-- A timeline is read in its order, some fifty rows of it, and that is what the planner shall do: so the
-- role is asked in a form of which it expects that it holds ("is not null"). Of an overlap of arrays it expects that
-- it seldom does, and would fetch and sort everything there is of a contact. The team of the record comes
-- first for salespeople: it lets in most of what they read, and costs less than the four keys.
create policy activities_select on public.activities
    for select to authenticated
    using (
        (
            not is_private
            and (
                (select nullif(private.my_role() in ('owner', 'admin', 'manager', 'viewer'), false))
                    is not null
                or record_team_id = any ((select private.my_teams())::uuid[])
                or array[owner_id, team_id, record_owner_key, record_team_id]
                    && (select private.my_keys())
            )
        )
        -- By the person's own id, not by a key: whoever makes teams chooses their ids.
        or (is_private and owner_id = (select private.my_id()))
    );
create policy activities_insert on public.activities
    for insert to authenticated
    with check (
        (not is_private or owner_id = (select private.my_id()))
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (team_id is null and owner_id = (select private.my_id()))
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
create policy activities_update on public.activities
    for update to authenticated
    using (
        (not is_private or owner_id = (select private.my_id()))
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or owner_id = (select private.my_id())
                )
            )
            or ((select private.my_role()) = 'sales' and owner_id = (select private.my_id()))
        )
    )
    with check (
        (not is_private or owner_id = (select private.my_id()))
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or (team_id is null and owner_id = (select private.my_id()))
                )
            )
            or (
                (select private.my_role()) = 'sales'
                and owner_id = (select private.my_id())
                and (team_id is null or team_id = any (array(select private.my_team_ids())))
            )
        )
    );
create policy activities_delete on public.activities
    for delete to authenticated
    using (
        (not is_private or owner_id = (select private.my_id()))
        and (
            (select private.my_role()) in ('owner', 'admin')
            or (
                (select private.my_role()) = 'manager'
                and (
                    team_id = any (array(select private.my_team_ids()))
                    or owner_id = (select private.my_id())
                )
            )
            or ((select private.my_role()) = 'sales' and owner_id = (select private.my_id()))
        )
    );
