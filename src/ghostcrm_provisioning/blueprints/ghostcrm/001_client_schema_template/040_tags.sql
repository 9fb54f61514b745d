-- Words that users stick on contacts, companies and deals.

create table public.tags (
    id uuid not null default private.uuid_v7(),
    name text not null,
    name_normalized text not null generated always as (lower(btrim(name))) stored,
    color text not null default '#6b7280',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint tags_pkey primary key (id),
    constraint tags_name_normalized_key unique (name_normalized),
    constraint tags_name_not_blank check (btrim(name) <> ''),
    constraint tags_color_format check (color ~ '^#[0-9a-f]{6}$')
);

comment on table public.tags is 'Words that users stick on contacts, companies and deals.';
comment on column public.tags.color is 'As in CSS: # and six lower-case hexadecimal digits.';

create trigger tags_set_updated_at
    before update on public.tags
    for each row execute function private.set_updated_at();
select private.keep_audit('public.tags');

alter table public.tags enable row level security;
revoke all on table public.tags from public, anon, authenticated, service_role;
grant
    select,
    insert (id, name, color),
    update (name, color),
    delete
    on table public.tags to authenticated;
grant all on table public.tags to service_role;

create policy tags_select on public.tags
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy tags_insert on public.tags
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager', 'sales'));
create policy tags_update on public.tags
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'))
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy tags_delete on public.tags
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
