-- What this client has paid for: limits and features, in one row. The provisioner writes it, as the
-- owner of this schema, when the database is made and whenever the plan changes:
--
--     insert into public.client_plan
--         (plan, title, priority, max_users, max_contacts, max_storage_bytes, features)
--     values ($1, $2, $3, $4, $5, $6, $7)      -- $7 text[]: keys of [features] in blueprint.toml
--     on conflict (is_the_plan) do update set
--         plan = excluded.plan,
--         title = excluded.title,
--         priority = excluded.priority,
--         max_users = excluded.max_users,
--         max_contacts = excluded.max_contacts,
--         max_storage_bytes = excluded.max_storage_bytes,
--         features = excluded.features,
--         applied_at = now()
--     where (client_plan.plan, client_plan.title, client_plan.priority, client_plan.max_users,
--            client_plan.max_contacts, client_plan.max_storage_bytes, client_plan.features)
--           is distinct from
--           (excluded.plan, excluded.title, excluded.priority, excluded.max_users,
--            excluded.max_contacts, excluded.max_storage_bytes, excluded.features);
--
-- Null means unlimited. Applied twice, it changes nothing the second time; its postcondition is that
-- the row can be read back equal. The client's own service role cannot write here.

create table public.client_plan (
    is_the_plan boolean not null default true,
    plan text not null,
    title text not null,
    priority smallint not null,
    max_users integer,
    max_contacts integer,
    max_storage_bytes bigint,
    features text[] not null,
    applied_at timestamptz not null default now(),

    constraint client_plan_pkey primary key (is_the_plan),
    constraint client_plan_one_row check (is_the_plan),
    constraint client_plan_plan_format check (plan ~ '^[a-z][a-z0-9_]*$'),
    constraint client_plan_title_not_blank check (btrim(title) <> ''),
    constraint client_plan_max_users_positive check (max_users > 0),
    constraint client_plan_max_contacts_positive check (max_contacts > 0),
    constraint client_plan_max_storage_bytes_positive check (max_storage_bytes > 0)
);

comment on table public.client_plan is
    'What this client has paid for; one row, written by the provisioner.';
comment on column public.client_plan.priority is 'Higher is served first.';
comment on column public.client_plan.max_users is 'Active profiles; null means unlimited.';
comment on column public.client_plan.max_contacts is
    'Contacts that are not deleted; null means unlimited.';
comment on column public.client_plan.max_storage_bytes is
    'Sum of files.size_bytes; null means unlimited.';
comment on column public.client_plan.features is
    'Keys of what is switched on, as in blueprint.toml.';
comment on column public.client_plan.applied_at is 'When the plan last changed.';

create trigger client_plan_forget_room
    after insert or update or delete on public.client_plan
    for each statement execute function private.forget_room();
select private.keep_audit('public.client_plan', 'is_the_plan');

alter table public.client_plan enable row level security;
revoke all on table public.client_plan from public, anon, authenticated, service_role;
grant select on table public.client_plan to authenticated, service_role;

create policy client_plan_select on public.client_plan
    for select to authenticated
    using ((select private.my_role()) is not null);
