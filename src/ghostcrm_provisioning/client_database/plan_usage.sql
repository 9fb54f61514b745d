-- name: only_look
-- For a transaction in which the client's own functions run and must change nothing, nor take for ever.
select set_config('transaction_read_only', 'on', true), set_config('statement_timeout', '60s', true),
       set_config('lock_timeout', '30s', true)

-- name: is_counted
-- A blueprint that counts what its plans limit has these two functions.
select to_regprocedure('private.plan_usage()') is not null
   and to_regprocedure('private.plan_usage(integer, integer, bigint, text[])') is not null as holds

-- name: compare
-- What is used, and what is allowed now and would be under another plan.
select resource, coalesce(now.used, new.used, 0) as used, now.allowed as allowed_now,
       new.allowed as allowed_then
from private.plan_usage() with ordinality now (resource, used, allowed, place)
full join private.plan_usage(%(max_users)s::integer, %(max_contacts)s::integer,
                             %(max_storage_bytes)s::bigint, %(features)s::text[])
    with ordinality new (resource, used, allowed, place) using (resource)
order by coalesce(now.place, new.place), resource

-- name: what_needs
-- For each feature that is missing in another plan: what is used that would be allowed more with it.
select lost.feature, new.resource, new.used
from unnest(%(lost)s::text[]) with ordinality lost (feature, place)
cross join lateral private.plan_usage(%(max_users)s::integer, %(max_contacts)s::integer,
                                      %(max_storage_bytes)s::bigint, %(features)s::text[]) new
join lateral private.plan_usage(%(max_users)s::integer, %(max_contacts)s::integer,
                                %(max_storage_bytes)s::bigint,
                                %(features)s::text[] || lost.feature) kept using (resource)
where new.allowed is distinct from kept.allowed and new.used > 0
order by lost.place, new.resource
