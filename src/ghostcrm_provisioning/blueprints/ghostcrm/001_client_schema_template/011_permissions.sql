-- The names of what can be allowed, for applications that show or hide a button. The policies of
-- each table are what protects the data; this is their description.

create table public.permissions (
    key text not null,
    title text not null,
    description text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint permissions_pkey primary key (key),
    constraint permissions_key_format check (key ~ '^[a-z_]+\.[a-z_]+$'),
    constraint permissions_title_not_blank check (btrim(title) <> '')
);

comment on table public.permissions is 'What can be allowed: <entity>.<action>.';

create trigger permissions_set_updated_at
    before update on public.permissions
    for each row execute function private.set_updated_at();

select private.keep_audit('public.permissions', 'key');

alter table public.permissions enable row level security;
revoke all on table public.permissions from public, anon, authenticated, service_role;
grant select on table public.permissions to authenticated;
grant all on table public.permissions to service_role;

create policy permissions_select on public.permissions
    for select to authenticated
    using ((select private.my_role()) is not null);
