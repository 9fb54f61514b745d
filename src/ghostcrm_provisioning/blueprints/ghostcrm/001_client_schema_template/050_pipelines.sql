-- Ways of selling: each has stages that a deal moves through.

create table public.pipelines (
    id uuid not null default private.uuid_v7(),
    name text not null,
    name_normalized text not null generated always as (lower(btrim(name))) stored,
    position integer not null default 0,
    is_default boolean not null default false,
    is_archived boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint pipelines_pkey primary key (id),
    constraint pipelines_name_normalized_key unique (name_normalized),
    constraint pipelines_name_not_blank check (btrim(name) <> ''),
    constraint pipelines_default_not_archived check (not (is_default and is_archived))
);

comment on table public.pipelines is
    'Ways of selling. Archived, not deleted, once deals went through it.';

create unique index pipelines_one_default_idx on public.pipelines (is_default) where is_default;

create trigger pipelines_set_updated_at
    before update on public.pipelines
    for each row execute function private.set_updated_at();
select private.keep_audit('public.pipelines');

alter table public.pipelines enable row level security;
revoke all on table public.pipelines from public, anon, authenticated, service_role;
grant
    select,
    insert (id, name, position, is_default, is_archived),
    update (name, position, is_default, is_archived),
    delete
    on table public.pipelines to authenticated;
grant all on table public.pipelines to service_role;

create policy pipelines_select on public.pipelines
    for select to authenticated
    using ((select private.my_role()) is not null);
create policy pipelines_insert on public.pipelines
    for insert to authenticated
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy pipelines_update on public.pipelines
    for update to authenticated
    using ((select private.my_role()) in ('owner', 'admin', 'manager'))
    with check ((select private.my_role()) in ('owner', 'admin', 'manager'));
create policy pipelines_delete on public.pipelines
    for delete to authenticated
    using ((select private.my_role()) in ('owner', 'admin'));
