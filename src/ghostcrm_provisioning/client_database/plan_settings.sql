-- name: keeps_a_plan
-- A blueprint without the table public.client_plan has nothing that a plan could limit.
select to_regclass('public.client_plan') is not null as holds

-- name: observe_plan
select plan = %(plan)s and title = %(title)s and priority = %(priority)s
       and max_users is not distinct from %(max_users)s::integer
       and max_contacts is not distinct from %(max_contacts)s::integer
       and max_storage_bytes is not distinct from %(max_storage_bytes)s::bigint
       and features = %(features)s::text[] as holds,
       plan
from public.client_plan

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
