-- What a person may be. Five roles, known to the policies by key; the words shown may be edited.

create table public.roles (
    key text not null,
    title text not null,
    description text not null default '',
    rank smallint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint roles_pkey primary key (key),
    constraint roles_rank_key unique (rank),
    constraint roles_key_known check (key in ('owner', 'admin', 'manager', 'sales', 'viewer')),
    constraint roles_title_not_blank check (btrim(title) <> '')
);

comment on table public.roles is 'Roles that a profile can have, highest rank first.';
comment on column public.roles.key is
    'owner: everything, cannot be left without a successor. admin: everything but owners. manager: '
    'reads everything, looks after the teams they belong to. sales: their own and their teams'' '
    'records. viewer: reads.';

create trigger roles_set_updated_at
    before update on public.roles
    for each row execute function private.set_updated_at();
select private.keep_audit('public.roles', 'key');

alter table public.roles enable row level security;
revoke all on table public.roles from public, anon, authenticated, service_role;
grant select, update (title, description) on table public.roles to authenticated;
grant all on table public.roles to service_role;

create policy roles_select on public.roles
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy roles_update on public.roles
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin'))
    with check ((select private.my_role()) in ('owner', 'admin'));
