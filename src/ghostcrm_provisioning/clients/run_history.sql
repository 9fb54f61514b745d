-- name: list_runs
-- Newest first; keyset paging by (created_at, id).
select r.id, r.client_id, r.kind::text, r.status::text, r.priority, r.fence, r.worker_id,
       r.worker_deaths, r.next_attempt_at, r.error, r.created_at, r.queued_at, r.started_at,
       r.finished_at, c.name as client_name
from runs r
join clients c on c.id = r.client_id
where (%(status)s::run_status is null or r.status = %(status)s::run_status)
  and (%(kind)s::run_kind is null or r.kind = %(kind)s::run_kind)
  and (%(before_created_at)s::timestamptz is null
       or (r.created_at, r.id) < (%(before_created_at)s, %(before_id)s))
order by r.created_at desc, r.id desc
limit %(limit)s

-- name: list_runs_of_client
-- As list_runs, of one client.
select r.id, r.client_id, r.kind::text, r.status::text, r.priority, r.fence, r.worker_id,
       r.worker_deaths, r.next_attempt_at, r.error, r.created_at, r.queued_at, r.started_at,
       r.finished_at, c.name as client_name
from runs r
join clients c on c.id = r.client_id
where r.client_id = %(client_id)s
  and (%(before_created_at)s::timestamptz is null
       or (r.created_at, r.id) < (%(before_created_at)s, %(before_id)s))
order by r.created_at desc, r.id desc
limit %(limit)s

-- name: steps_of_runs
select run_id, position, name, status::text, attempt, started_at, finished_at, observation, error
from steps
where run_id = any(%(run_ids)s)
order by run_id, position

-- name: attempts_of_runs
select a.run_id, s.name, a.attempt, a.outcome::text, a.started_at, a.finished_at, a.error, a.worker_id
from step_attempts a
join steps s on s.run_id = a.run_id and s.position = a.position
where a.run_id = any(%(run_ids)s)
order by a.started_at, a.position
