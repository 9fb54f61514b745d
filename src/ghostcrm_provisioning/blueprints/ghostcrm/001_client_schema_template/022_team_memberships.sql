-- Who belongs to which team. Membership opens records, so only admins write it.

create table public.team_memberships (
    team_id uuid not null,
    profile_id uuid not null,
    created_at timestamptz not null default now(),

    constraint team_memberships_pkey primary key (team_id, profile_id),
    constraint team_memberships_team_id_fkey
        foreign key (team_id) references public.teams (id) on delete cascade,
    constraint team_memberships_profile_id_fkey
        foreign key (profile_id) references public.profiles (id) on delete cascade
);

comment on table public.team_memberships is 'Who belongs to which team.';

create index team_memberships_profile_id_idx on public.team_memberships (profile_id, team_id);

select private.keep_audit('public.team_memberships', 'team_id');

alter table public.team_memberships enable row level security;
revoke all on table public.team_memberships from public, anon, authenticated, service_role;
grant
    select,
    insert (team_id, profile_id),
    delete
    on table public.team_memberships to authenticated;
grant all on table public.team_memberships to service_role;

create policy team_memberships_select on public.team_memberships
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy team_memberships_insert on public.team_memberships
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy team_memberships_delete on public.team_memberships
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
