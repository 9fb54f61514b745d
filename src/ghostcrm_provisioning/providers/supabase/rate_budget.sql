-- name: take
-- One request more, if the minute still has room for it; nothing comes back when it has none.
insert into supabase_rate_budget as budget (account, endpoint, counted_for, allowed, spent, resets_at)
values (%(account)s, %(endpoint)s, %(counted_for)s, %(allowed)s, 1,
        clock_timestamp() + make_interval(secs => %(window_seconds)s))
on conflict (account, endpoint, counted_for) do update
set spent = case when budget.resets_at <= clock_timestamp() then 1 else budget.spent + 1 end,
    resets_at = case when budget.resets_at <= clock_timestamp()
                     then clock_timestamp() + make_interval(secs => %(window_seconds)s)
                     else budget.resets_at end
where budget.resets_at <= clock_timestamp() or budget.spent < budget.allowed
returning spent

-- name: seconds_to_wait
select greatest(extract(epoch from resets_at - clock_timestamp()), 0)::float8 as seconds
from supabase_rate_budget
where account = %(account)s and endpoint = %(endpoint)s and counted_for = %(counted_for)s

-- name: correct
-- What an answer has said. In the same minute what we have counted stays when it is more: requests that are
-- on their way are in it. A minute that ends later than ours (by more than rounding) is a new one.
update supabase_rate_budget
set allowed = %(allowed)s,
    spent = case
        when clock_timestamp() + make_interval(secs => %(reset_seconds)s) > resets_at + interval '2 seconds'
        then %(spent)s
        else greatest(spent, %(spent)s) end,
    resets_at = clock_timestamp() + make_interval(secs => %(reset_seconds)s)
where account = %(account)s and endpoint = %(endpoint)s and counted_for = %(counted_for)s

-- name: exhaust
-- We were told to wait: so do all others.
update supabase_rate_budget
set spent = allowed, resets_at = clock_timestamp() + make_interval(secs => %(wait_seconds)s)
where account = %(account)s and endpoint = %(endpoint)s and counted_for = %(counted_for)s

-- name: forget_old
-- Budgets of projects that are gone, some at a time.
delete from supabase_rate_budget
where (account, endpoint, counted_for) in (
    select account, endpoint, counted_for from supabase_rate_budget
    where resets_at < clock_timestamp() - interval '1 day'
    limit 100
    for update skip locked
)
