-- name: insert_verdict
insert into isolation_verdicts (client_id, database_id, began_at, duration_ms, holds, findings, attempts,
                                catalog_fingerprint, blueprint, blueprint_fingerprint, requested_by,
                                program_version)
values (%(client_id)s, %(database_id)s, %(began_at)s, %(duration_ms)s, %(holds)s, %(findings)s,
        %(attempts)s, %(catalog_fingerprint)s, %(blueprint)s, %(blueprint_fingerprint)s,
        %(requested_by)s, %(program_version)s)
returning id

-- name: list_verdicts
-- Newest first.
select v.id, v.client_id, v.database_id, v.began_at, v.duration_ms, v.holds, v.findings, v.attempts,
       v.catalog_fingerprint, v.blueprint, v.blueprint_fingerprint, v.requested_by, v.program_version
from isolation_verdicts v
where v.client_id = %(client_id)s
order by v.id desc
limit %(limit)s

-- name: list_verdicts_before
-- As list_verdicts, from a verdict on.
select v.id, v.client_id, v.database_id, v.began_at, v.duration_ms, v.holds, v.findings, v.attempts,
       v.catalog_fingerprint, v.blueprint, v.blueprint_fingerprint, v.requested_by, v.program_version
from isolation_verdicts v
where v.client_id = %(client_id)s and v.id < %(before_id)s
order by v.id desc
limit %(limit)s

-- name: note_attempt
-- A full attack begins.
update clients set verification_tried_at = clock_timestamp() where id = %(client_id)s

-- name: longest_unverified
-- Ready clients, the longest unverified first.
select c.id from clients c
where c.status = 'ready' and c.wanted_status = 'ready'
  and coalesce(c.verification_tried_at, c.ready_at)
      <= clock_timestamp() - make_interval(hours => %(untouched_hours)s)
order by coalesce(c.verification_tried_at, c.ready_at), c.id
limit %(limit)s

-- name: begin_round
-- A row is returned to the one worker that begins this night's round.
insert into verification_rounds (night, clients)
select (now() at time zone 'utc')::date, 0
where extract(hour from now() at time zone 'utc') >= %(hour)s
  and not exists (select from verification_rounds where night = (now() at time zone 'utc')::date)
on conflict do nothing
returning night

-- name: note_round
update verification_rounds set clients = %(clients)s where night = %(night)s

-- name: another_on_server
-- Ready clients whose databases are on the same server; each client has other neighbours.
select c.id from clients c
join client_databases d on d.client_id = c.id
where d.server_id = %(server_id)s and c.id <> %(client_id)s
  and c.status = 'ready' and c.wanted_status = 'ready'
order by (c.id > %(client_id)s) desc, c.id
limit %(limit)s

-- name: want_quarantine
-- The wish; the reason that is kept is the first one. Nothing is returned when it is being closed for
-- another reason: it is proven again before it is opened.
update clients
set wanted_status = 'quarantined', updated_at = clock_timestamp(),
    quarantine_verdict_id = coalesce(quarantine_verdict_id, %(verdict_id)s)
where id = %(client_id)s and wanted_status in ('ready', 'quarantined')
returning id

-- name: want_quarantine_again
-- Its release could not be observed.
update clients set wanted_status = 'quarantined', updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'ready' and status = 'quarantined'

-- name: mark_quarantined
-- The reality: its database was observed to be closed. Nothing is returned when it was known, or when it is
-- not wished any more.
update clients
set status = 'quarantined', quarantined_at = clock_timestamp(), suspended_at = null,
    updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'quarantined' and status in ('ready', 'suspended')
returning id

-- name: want_release
update clients set wanted_status = 'ready', updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'quarantined' and status = 'quarantined'
returning id

-- name: withdraw_quarantine
update clients
set wanted_status = 'ready', quarantine_verdict_id = null, updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'quarantined' and status = 'ready'
returning id

-- name: mark_released
-- Its doors were observed to be open again, for its own logins.
update clients
set status = 'ready', quarantined_at = null, quarantine_verdict_id = null,
    updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'ready' and status = 'quarantined'
returning id

-- name: in_quarantine
select c.id from clients c
where c.quarantine_verdict_id is not null and c.wanted_status in ('ready', 'quarantined')
order by c.id

-- name: summary
-- How the isolation of the ready clients stands.
select count(*) filter (where c.status = 'ready') as ready,
       count(*) filter (where c.status = 'ready' and v.holds
                          and v.began_at > clock_timestamp() - make_interval(days => %(days)s)) as verified,
       count(*) filter (where c.verification_tried_at > coalesce(v.began_at, '-infinity')
                          and c.verification_tried_at
                              < clock_timestamp() - make_interval(secs => %(deadline_seconds)s)) as unanswered,
       count(*) filter (where c.quarantine_verdict_id is not null) as quarantined
from clients c
left join lateral (
    select holds, began_at from isolation_verdicts where client_id = c.id order by id desc limit 1
) v on true
where c.status in ('ready', 'quarantined')

-- name: take_turn
-- Held by the session: should its process die, the next one has its turn.
select pg_try_advisory_lock(hashtextextended('verification on ' || %(server_id)s::uuid, 0)) as taken

-- name: wait_for_turn
select pg_advisory_lock(hashtextextended('verification on ' || %(server_id)s::uuid, 0))

-- name: announce
-- As the runs do: "<client id> verdict". Whoever waits for what comes of an attack looks then.
select pg_notify('ghostcrm_runs', %(client_id)s::uuid || ' verdict looked_after')
