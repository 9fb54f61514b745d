-- Which role may do what, and to whose records. Written by migrations and seeds together with the
-- policies that enforce it, never by users.

create table public.role_permissions (
    role_key text not null,
    permission_key text not null,
    scope text not null,
    created_at timestamptz not null default now(),

    constraint role_permissions_pkey primary key (role_key, permission_key),
    constraint role_permissions_role_key_fkey
        foreign key (role_key) references public.roles (key) on delete cascade,
    constraint role_permissions_permission_key_fkey
        foreign key (permission_key) references public.permissions (key) on delete cascade,
    constraint role_permissions_scope_known check (scope in ('all', 'team', 'own'))
);

comment on table public.role_permissions is 'Permissions of each role; no row means not allowed.';
comment on column public.role_permissions.scope is
    'all: every record. team: records of one''s teams, unassigned ones and one''s own. own: '
    'one''s own.';

create index role_permissions_permission_key_idx on public.role_permissions (permission_key);

select private.keep_audit('public.role_permissions', 'role_key');

alter table public.role_permissions enable row level security;
revoke all on table public.role_permissions from public, anon, authenticated, service_role;
grant select on table public.role_permissions to authenticated;
grant all on table public.role_permissions to service_role;

create policy role_permissions_select on public.role_permissions
    for select to authenticated
    using ((select private.my_role()) is not null);
