-- Who is invited to an appointment: a colleague, a contact, or somebody known by address only.

create table public.appointment_attendees (
    id uuid not null default private.uuid_v7(),
    appointment_id uuid not null,
    profile_id uuid,
    contact_id uuid,
    email text,
    email_normalized text generated always as (lower(btrim(email))) stored,
    is_optional boolean not null default false,
    response text not null default 'pending',
    responded_at timestamptz,
    is_no_show boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint appointment_attendees_pkey primary key (id),
    constraint appointment_attendees_appointment_id_fkey
        foreign key (appointment_id) references public.appointments (id) on delete cascade,
    constraint appointment_attendees_profile_id_fkey
        foreign key (profile_id) references public.profiles (id) on delete restrict,
    constraint appointment_attendees_contact_id_fkey
        foreign key (contact_id) references public.contacts (id) on delete cascade,
    constraint appointment_attendees_profile_key unique (appointment_id, profile_id),
    constraint appointment_attendees_contact_key unique (appointment_id, contact_id),
    constraint appointment_attendees_email_key unique (appointment_id, email_normalized),
    constraint appointment_attendees_one_person
        check (num_nonnulls(profile_id, contact_id, email) = 1),
    constraint appointment_attendees_email_format check (email like '%_@_%'),
    constraint appointment_attendees_response_known
        check (response in ('pending', 'accepted', 'tentative', 'declined'))
);

comment on table public.appointment_attendees is
    'Who is invited to an appointment, and what they answered.';

create index appointment_attendees_profile_id_idx on public.appointment_attendees
    (profile_id, appointment_id);
create index appointment_attendees_contact_id_idx on public.appointment_attendees (contact_id);

create trigger appointment_attendees_check_new_links
    before insert on public.appointment_attendees
    for each row when (new.contact_id is not null)
    execute function private.check_links('contact_id');
create trigger appointment_attendees_set_updated_at
    before update on public.appointment_attendees
    for each row execute function private.set_updated_at();
select private.keep_audit('public.appointment_attendees');

alter table public.appointment_attendees enable row level security;
revoke all on table public.appointment_attendees from public, anon, authenticated, service_role;
grant
    select,
    insert (
        id, appointment_id, profile_id, contact_id, email, is_optional, response,
        responded_at, is_no_show
    ),
    update (is_optional, response, responded_at, is_no_show),
    delete
    on table public.appointment_attendees to authenticated;
grant all on table public.appointment_attendees to service_role;

create policy appointment_attendees_select on public.appointment_attendees
    for select to authenticated
    using (
        profile_id = (select private.my_id())
        or exists (
            select 1 from public.appointments a where a.id = appointment_attendees.appointment_id
        )
    );
create policy appointment_attendees_insert on public.appointment_attendees
    for insert to authenticated
    with check (
        exists (
            select 1 from public.appointments a
            where a.id = appointment_attendees.appointment_id
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and a.owner_id = (select private.my_id())
                  )
                  or (
                      (select private.my_role()) = 'manager'
                      and a.team_id = any (array(select private.my_team_ids()))
                  )
              )
        )
    );
create policy appointment_attendees_update on public.appointment_attendees
    for update to authenticated
    using (
        profile_id = (select private.my_id())
        or exists (
            select 1 from public.appointments a
            where a.id = appointment_attendees.appointment_id
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and a.owner_id = (select private.my_id())
                  )
                  or (
                      (select private.my_role()) = 'manager'
                      and a.team_id = any (array(select private.my_team_ids()))
                  )
              )
        )
    )
    with check (
        profile_id = (select private.my_id())
        or exists (
            select 1 from public.appointments a
            where a.id = appointment_attendees.appointment_id
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and a.owner_id = (select private.my_id())
                  )
                  or (
                      (select private.my_role()) = 'manager'
                      and a.team_id = any (array(select private.my_team_ids()))
                  )
              )
        )
    );
create policy appointment_attendees_delete on public.appointment_attendees
    for delete to authenticated
    using (
        exists (
            select 1 from public.appointments a
            where a.id = appointment_attendees.appointment_id
              and (
                  (select private.my_role()) in ('owner', 'admin')
                  or (
                      (select private.my_role()) in ('manager', 'sales')
                      and a.owner_id = (select private.my_id())
                  )
                  or (
                      (select private.my_role()) = 'manager'
                      and a.team_id = any (array(select private.my_team_ids()))
                  )
              )
        )
    );
