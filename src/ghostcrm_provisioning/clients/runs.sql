-- name: insert_run
insert into runs (id, client_id, kind, priority)
values (%(id)s, %(client_id)s, %(kind)s, %(priority)s)

-- name: insert_steps
insert into steps (run_id, position, name)
select %(run_id)s, position, name
from unnest(%(names)s::text[]) with ordinality as step (name, position)

-- name: find_run
select r.id, r.client_id, r.kind::text, r.status::text, r.priority, r.fence, r.worker_id,
       r.worker_deaths, r.next_attempt_at, r.error, r.created_at, r.queued_at, r.started_at, r.finished_at
from runs r
where r.id = %(run_id)s

-- name: latest_run_of_client
select id from runs where client_id = %(client_id)s order by created_at desc, id desc limit 1

-- name: first_run_of_client
-- The one that brings it into being.
select id from runs where client_id = %(client_id)s order by created_at, id limit 1

-- name: unfinished_run_of_client
select id from runs
where client_id = %(client_id)s and status in ('queued', 'running', 'waiting')

-- name: list_steps
select position, name, status::text, attempt, started_at, finished_at, observation, error
from steps
where run_id = %(run_id)s
order by position

-- name: list_attempts
select s.name, a.attempt, a.outcome::text, a.started_at, a.finished_at, a.error, a.worker_id
from step_attempts a
join steps s on s.run_id = a.run_id and s.position = a.position
where a.run_id = %(run_id)s
order by a.started_at, a.position

-- name: lock_run
select from runs where id = %(run_id)s for update

-- name: take_up
-- Fences off whoever had the run before. Nothing is returned when the run has ended.
with before as materialized (
    select id, status, fence from runs
    where id = %(run_id)s and status in ('queued', 'running', 'waiting')
    for update
), abandoned as (
    update step_attempts a set outcome = 'abandoned', finished_at = clock_timestamp()
    from before
    where a.run_id = before.id and a.outcome = 'running'
)
update runs r
set status = 'running', fence = r.fence + 1, worker_id = %(worker_id)s, next_attempt_at = null,
    worker_deaths = r.worker_deaths + (before.status = 'running')::integer,
    started_at = coalesce(r.started_at, clock_timestamp()), updated_at = clock_timestamp()
from before
where r.id = before.id
returning r.id, r.client_id, r.kind::text, r.status::text, r.priority, r.fence, r.worker_id,
          r.worker_deaths, r.next_attempt_at, r.error, r.created_at, r.queued_at, r.started_at, r.finished_at

-- name: hold
-- Keeps the run's row locked for this transaction; nothing is returned to a superseded worker.
select id from runs where id = %(run_id)s and fence = %(fence)s and status = 'running' for update

-- name: is_held
-- As hold, for one who is about to write elsewhere and not here.
select from runs where id = %(run_id)s and fence = %(fence)s and status = 'running'

-- name: start_step
-- And its attempt, by whoever holds the run.
with started as (
    update steps
    set status = 'running', attempt = greatest(attempt, 1),
        started_at = coalesce(started_at, clock_timestamp()), error = null
    where run_id = %(run_id)s and position = %(position)s
    returning attempt, started_at
), attempted as (
    insert into step_attempts (run_id, position, fence, attempt, worker_id)
    select %(run_id)s, %(position)s, %(fence)s, attempt, %(worker_id)s from started
)
select attempt, started_at from started

-- name: finish_attempt
update step_attempts
set outcome = %(outcome)s, finished_at = clock_timestamp(), error = %(error)s
where run_id = %(run_id)s and position = %(position)s and fence = %(fence)s

-- name: finish_step
update steps
set status = 'done', finished_at = clock_timestamp(), observation = %(observation)s, error = null
where run_id = %(run_id)s and position = %(position)s

-- name: forgive_deaths
-- There was progress: only deaths in a row at the same step count.
update runs set worker_deaths = 0 where id = %(run_id)s

-- name: postpone_step
update steps
set status = 'waiting', error = %(error)s, attempt = %(attempt)s
where run_id = %(run_id)s and position = %(position)s

-- name: postpone_run
update runs
set status = 'waiting', error = %(error)s, updated_at = clock_timestamp(),
    next_attempt_at = clock_timestamp() + make_interval(secs => %(wait_seconds)s)
where id = %(run_id)s

-- name: fail_step
update steps
set status = 'failed', finished_at = clock_timestamp(), error = %(error)s
where run_id = %(run_id)s and position = %(position)s

-- name: fail_run
update runs
set status = 'failed', error = %(error)s, finished_at = clock_timestamp(),
    updated_at = clock_timestamp()
where id = %(run_id)s

-- name: succeed_run
update runs
set status = 'succeeded', error = null, finished_at = clock_timestamp(),
    updated_at = clock_timestamp()
where id = %(run_id)s
returning (extract(epoch from finished_at - queued_at) * 1000)::float8 as duration_ms

-- name: reopen_run
-- A retry: the run goes on at the step that failed, with all its attempts anew.
update runs
set status = 'queued', queued_at = clock_timestamp(), error = null, finished_at = null,
    next_attempt_at = null, worker_deaths = 0, updated_at = clock_timestamp()
where id = %(run_id)s and status = 'failed'
returning id, priority

-- name: reopen_steps
update steps
set status = 'pending', attempt = 0, error = null, started_at = null, finished_at = null
where run_id = %(run_id)s and status <> 'done'

-- name: count_unfinished
select count(*) filter (where status = 'queued') as queued,
       count(*) filter (where status = 'running') as running,
       count(*) filter (where status = 'waiting') as waiting,
       (extract(epoch from clock_timestamp() - min(queued_at) filter (where status = 'queued'))
           * 1000)::float8 as oldest_queued_ms
from runs
where status in ('queued', 'running', 'waiting')

-- name: ahead_in_queue
select count(*) as ahead
from runs r, runs this
where this.id = %(run_id)s and r.status = 'queued' and r.id <> this.id
  and (r.priority, this.created_at, this.id) > (this.priority, r.created_at, r.id)

-- name: list_current
-- What is being worked on or waits for its next attempt, with the step it stands at.
select r.id as run_id, r.client_id, c.name as client_name, r.kind::text, r.status::text,
       r.started_at, r.next_attempt_at, s.name as step, s.attempt, w.host as worker_host,
       w.process_id as worker_process_id
from runs r
join clients c on c.id = r.client_id
left join workers w on w.id = r.worker_id
left join lateral (
    select name, attempt from steps
    where run_id = r.id and status <> 'done'
    order by position limit 1
) s on true
where r.status in ('running', 'waiting')
order by r.started_at
limit %(limit)s

-- name: list_failed_since
-- The newest first, with the step at which each stopped.
select r.id as run_id, r.client_id, c.name as client_name, r.kind::text, r.finished_at, r.error,
       s.name as step
from runs r
join clients c on c.id = r.client_id
left join lateral (
    select name from steps where run_id = r.id and status = 'failed' order by position limit 1
) s on true
where r.status = 'failed' and r.finished_at > now() - make_interval(hours => %(hours)s)
order by r.finished_at desc, r.id
limit %(limit)s

-- name: count_ended
select count(*) filter (where finished_at > now() - interval '5 minutes')
           as last_five_minutes,
       count(*) as last_hour
from runs
where finished_at > now() - interval '1 hour'

-- name: count_failed_since
-- now() and not clock_timestamp(): what changes within a statement is not looked up in an index.
select count(*) as failed from runs
where status = 'failed' and finished_at > now() - make_interval(hours => %(hours)s)

-- name: heartbeat
-- A worker that was thought dead and removed comes back as itself.
insert into workers (id, host, process_id, standing, concurrency)
values (%(id)s, %(host)s, %(process_id)s, %(standing)s, %(concurrency)s)
on conflict (id) do update set heartbeat_at = clock_timestamp()

-- name: leave
delete from workers where id = %(id)s

-- name: forget_dead_workers
delete from workers where heartbeat_at < clock_timestamp() - interval '1 hour'

-- name: list_workers
select id, host, process_id, standing, concurrency, started_at, heartbeat_at,
       heartbeat_at > clock_timestamp() - make_interval(secs => %(lease_seconds)s) as alive,
       (select count(*) from runs r where r.worker_id = w.id and r.status = 'running') as busy
from workers w
order by started_at

-- name: count_alive_workers
select count(*) filter (where standing) as standing, count(*) as any_kind
from workers
where heartbeat_at > clock_timestamp() - make_interval(secs => %(lease_seconds)s)
