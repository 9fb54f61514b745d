-- Groups of people who share records.

create table public.teams (
    id uuid not null default private.uuid_v7(),
    name text not null,
    name_normalized text not null generated always as (lower(btrim(name))) stored,
    description text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint teams_pkey primary key (id),
    constraint teams_name_normalized_key unique (name_normalized),
    constraint teams_name_not_blank check (btrim(name) <> '')
);

comment on table public.teams is
    'Groups of people who share records: a record''s team_id opens it to them.';

create trigger teams_set_updated_at
    before update on public.teams
    for each row execute function private.set_updated_at();
select private.keep_audit('public.teams');

alter table public.teams enable row level security;
revoke all on table public.teams from public, anon, authenticated, service_role;
grant
    select,
    insert (id, name, description),
    update (name, description),
    delete
    on table public.teams to authenticated;
grant all on table public.teams to service_role;

create policy teams_select on public.teams
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy teams_insert on public.teams
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin'));
create policy teams_update on public.teams
    for update to authenticated
    using (
        (select private.my_role()) in ('owner', 'admin')
        or (
            (select private.my_role()) = 'manager'
            and id = any (array(select private.my_team_ids()))
        )
    )
    with check (
        (select private.my_role()) in ('owner', 'admin')
        or (
            (select private.my_role()) = 'manager'
            and id = any (array(select private.my_team_ids()))
        )
    );
create policy teams_delete on public.teams
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
