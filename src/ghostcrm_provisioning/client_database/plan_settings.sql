-- name: what_is_kept
-- A blueprint without these tables has nothing that a plan could limit, or no settings of its own.
select to_regclass('public.client_plan') is not null as plan,
       to_regclass('public.client_settings') is not null as settings

-- name: observe_plan
select plan = %(plan)s and title = %(title)s and priority = %(priority)s
       and max_users is not distinct from %(max_users)s::integer
       and max_contacts is not distinct from %(max_contacts)s::integer
       and max_storage_bytes is not distinct from %(max_storage_bytes)s::bigint
       and features = %(features)s::text[] as holds,
       plan
from public.client_plan

-- name: features_now
select features from public.client_plan

-- name: bound_transaction
-- Somebody inside the client database must not keep us waiting for ever, and a process of ours that
-- is frozen must not keep its successor waiting.
select set_config('lock_timeout', '30s', true), set_config('statement_timeout', '60s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true)

-- name: lock_plan
-- Whoever writes the plan does it alone; those who read it, to keep a limit, are not held up.
lock table public.client_plan in share row exclusive mode

-- name: wait_for_writers
-- Granted when nobody is writing the plan.
lock table public.client_plan in share mode

-- name: apply_plan
insert into public.client_plan
    (plan, title, priority, max_users, max_contacts, max_storage_bytes, features)
values (%(plan)s, %(title)s, %(priority)s, %(max_users)s, %(max_contacts)s, %(max_storage_bytes)s,
        %(features)s)
on conflict (is_the_plan) do update set
    plan = excluded.plan,
    title = excluded.title,
    priority = excluded.priority,
    max_users = excluded.max_users,
    max_contacts = excluded.max_contacts,
    max_storage_bytes = excluded.max_storage_bytes,
    features = excluded.features,
    applied_at = now()

-- name: is_company_named
-- A name that the client has chosen since is as good as the registered one.
select not exists (
    select from public.client_settings where key = 'company.name' and value = '""'
) as holds

-- name: name_company
update public.client_settings set value = to_jsonb(%(company_name)s::text)
where key = 'company.name' and value = '""'
