-- name: begin
insert into idempotent_requests (principal, route, key, sealed_digest, claimed_by, claimed_until)
values (%(principal)s, %(route)s, %(key)s, %(sealed_digest)s, %(claimed_by)s,
        clock_timestamp() + make_interval(secs => %(lease_seconds)s))
on conflict do nothing
returning true as begun

-- name: find_for_update
select sealed_digest, sealed_answer,
       created_at < clock_timestamp() - make_interval(hours => %(keep_hours)s) as is_old,
       claimed_until > clock_timestamp() as is_claimed
from idempotent_requests
where principal = %(principal)s and route = %(route)s and key = %(key)s
for update

-- The claim of one who did not come back, or of a request that is too old to count.
-- name: claim_again
update idempotent_requests
set claimed_by = %(claimed_by)s,
    claimed_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
    sealed_digest = %(sealed_digest)s, created_at = clock_timestamp(), answered_at = null, sealed_answer = null
where principal = %(principal)s and route = %(route)s and key = %(key)s

-- name: keep_answer
update idempotent_requests set sealed_answer = %(sealed_answer)s, answered_at = clock_timestamp()
where principal = %(principal)s and route = %(route)s and key = %(key)s and claimed_by = %(claimed_by)s

-- name: release
delete from idempotent_requests
where principal = %(principal)s and route = %(route)s and key = %(key)s and claimed_by = %(claimed_by)s
  and sealed_answer is null

-- name: delete_old
delete from idempotent_requests
where created_at < now() - make_interval(hours => %(keep_hours)s)
