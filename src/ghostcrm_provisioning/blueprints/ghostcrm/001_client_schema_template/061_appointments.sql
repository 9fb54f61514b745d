-- The calendar. A timed appointment keeps what people agreed on, a local time in a zone: when the
-- rules of daylight saving change, nine o'clock stays nine o'clock. An all-day one has dates only.

create table public.appointments (
    id uuid not null default private.uuid_v7(),
    owner_id uuid not null,
    team_id uuid,
    title text not null,
    description text not null default '',
    location text,
    meeting_url text,
    status text not null default 'confirmed',
    is_all_day boolean not null default false,
    time_zone text not null default 'UTC',
    local_start timestamp,
    local_end timestamp,
    start_on date,
    end_on date,
    starts_at timestamptz not null generated always as
        (coalesce(local_start, start_on::timestamp) at time zone time_zone) stored,
    ends_at timestamptz not null generated always as
        (coalesce(local_end, end_on::timestamp) at time zone time_zone) stored,
    ical_uid text not null default gen_random_uuid()::text,
    ical_sequence integer not null default 0,
    recurrence_rule text,
    contact_id uuid,
    company_id uuid,
    deal_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint appointments_pkey primary key (id),
    constraint appointments_owner_id_fkey
        foreign key (owner_id) references public.profiles (id) on delete restrict,
    constraint appointments_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete restrict,
    constraint appointments_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete set null,
    constraint appointments_company_id_fkey
        foreign key (company_id) references public.companies (id) on delete set null,
    constraint appointments_deal_id_fkey
        foreign key (deal_id) references public.deals (id) on delete set null,
    constraint appointments_owner_id_ical_uid_key unique (owner_id, ical_uid),
    constraint appointments_title_not_blank check (btrim(title) <> ''),
    constraint appointments_status_known
        check (status in ('tentative', 'confirmed', 'cancelled', 'completed', 'no_show')),
    constraint appointments_timed_or_all_day check (
        case when is_all_day then
            num_nonnulls(start_on, end_on) = 2
            and num_nonnulls(local_start, local_end) = 0
            and start_on < end_on
        else
            num_nonnulls(local_start, local_end) = 2
            and num_nonnulls(start_on, end_on) = 0
            and local_start <= local_end
        end
    )
);

comment on table public.appointments is
    'Meetings, calls and absences in the calendars of profiles.';
comment on column public.appointments.status is
    'tentative: held, not agreed. confirmed: agreed. cancelled. completed: took place. no_show: '
    'the others did not come.';
comment on column public.appointments.time_zone is 'IANA name, such as Europe/Vienna.';
comment on column public.appointments.local_start is
    'Wall-clock time in time_zone; null when all day.';
comment on column public.appointments.end_on is
    'All day: the day after the last one, as in iCalendar.';
comment on column public.appointments.starts_at is
    'The instant, for agendas: follows local_start or start_on.';
comment on column public.appointments.ical_sequence is
    'Counts the changes that attendees were told of.';
comment on column public.appointments.recurrence_rule is
    'RRULE of RFC 5545; null when it takes place once.';

create index appointments_agenda_idx on public.appointments (owner_id, starts_at);
create index appointments_team_id_idx on public.appointments (team_id, starts_at);
create index appointments_contact_id_idx on public.appointments (contact_id, starts_at desc);
create index appointments_company_id_idx on public.appointments (company_id, starts_at desc);
create index appointments_deal_id_idx on public.appointments (deal_id, starts_at desc);

create trigger appointments_check_new_links
    before insert on public.appointments
    for each row when (
        new.contact_id is not null
        or new.company_id is not null
        or new.deal_id is not null
    )
    execute function private.check_links('contact_id', 'company_id', 'deal_id');
create trigger appointments_check_changed_links
    before update of contact_id, company_id, deal_id on public.appointments
    for each row when (
        new.contact_id is distinct from old.contact_id
        or new.company_id is distinct from old.company_id
        or new.deal_id is distinct from old.deal_id
    )
    execute function private.check_links('contact_id', 'company_id', 'deal_id');
create trigger appointments_set_updated_at
    before update on public.appointments
    for each row execute function private.set_updated_at();
select private.keep_audit('public.appointments');

alter table public.appointments enable row level security;
revoke all on table public.appointments from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, owner_id, team_id, title, description, location, meeting_url, status,
        is_all_day, time_zone, local_start, local_end, start_on, end_on, ical_uid,
        ical_sequence, recurrence_rule, contact_id, company_id, deal_id
    ),
    update (
        owner_id, team_id, title, description, location, meeting_url, status, is_all_day,
        time_zone, local_start, local_end, start_on, end_on, ical_sequence, recurrence_rule,
        contact_id, company_id, deal_id
    ),
    delete
    on table public.appointments to authenticated;
grant all on table public.appointments to service_role;

-- `offset 0`: one look by index for each row that needs it, never all records read beforehand.
create policy appointments_select on public.appointments
    for select to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin')
        or owner_id = (select private.my_id())
        or id = any (array(select private.my_invitation_ids()))
        or (
            (select private.my_role()) = 'manager'
            and team_id = any (array(select private.my_team_ids()))
        )
        or (
            (select private.my_role()) = 'viewer'
            and (
                exists (
                    select from public.contacts c where c.id = appointments.contact_id offset 0
                )
                or exists (
                    select from public.companies c where c.id = appointments.company_id offset 0
                )
                or exists (
                    select from public.deals d where d.id = appointments.deal_id offset 0
                )
            )
        )
    );
create policy appointments_insert on public.appointments
    for insert to authenticated
    with check (
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
    );
create policy appointments_update on public.appointments
    for update to authenticated
    using (
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
    with check (
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
    );
create policy appointments_delete on public.appointments
    for delete to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin')
        or (
            (select private.my_role()) in ('manager', 'sales')
            and owner_id = (select private.my_id())
        )
    );
