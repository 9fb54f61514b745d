-- name: take_try
-- Counts a try as failed before its password is looked at, in one statement: however many come at once,
-- none is let through uncounted. No row comes back when this one has to wait; it is not counted then.
insert into sign_in_counters as counter (key, email_digest, failures, last_failed_at)
values (%(key)s, %(email_digest)s, 1, clock_timestamp())
on conflict (key) do update set
    failures = case when counter.last_failed_at < clock_timestamp() - interval '1 hour' then 1
                    else counter.failures + 1 end,
    last_failed_at = clock_timestamp(),
    refused_until = case when counter.last_failed_at >= clock_timestamp() - interval '1 hour'
                              and counter.failures + 1 >= %(free)s
                         then clock_timestamp() + make_interval(secs => least(
                              %(longest)s, power(2, least(counter.failures + 1 - %(free)s, 20)))) end
where counter.refused_until is null or counter.refused_until <= clock_timestamp()
returning coalesce(last_succeeded_at > clock_timestamp() - interval '30 days', false) as is_familiar

-- name: find_wait
select extract(epoch from refused_until - clock_timestamp())::float8 as seconds
from sign_in_counters where key = %(key)s

-- name: forget_failures
-- The password was right: what failed from this address before it is forgiven.
update sign_in_counters
set failures = 0, refused_until = null, last_succeeded_at = clock_timestamp()
where key = %(key)s

-- name: give_back_try
-- The password was right: its try was none that failed. What others did stays counted.
update sign_in_counters
set failures = greatest(failures - 1, 0),
    refused_until = case when failures - 1 >= %(free)s then refused_until end
where key = %(key)s

-- name: counters_of_email
select key from sign_in_counters where email_digest = %(email_digest)s

-- name: unlock
update sign_in_counters set failures = 0, refused_until = null where key = %(key)s

-- name: delete_old_counters
-- A few at a time, at every try: whoever makes up addresses makes us delete as many as he makes.
delete from sign_in_counters
where key in (
    select key from sign_in_counters
    where last_failed_at < clock_timestamp() - interval '1 day'
      and coalesce(last_succeeded_at, '-infinity') < clock_timestamp() - interval '30 days'
    order by last_failed_at
    limit 20
    for update skip locked
)
