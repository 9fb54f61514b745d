-- The pieces of a list of runs, put together as those of listing.sql; and a client's runs with their steps
-- and attempts.

-- name: run_page
select r.id, r.client_id, c.name as client_name, r.kind::text, r.status::text, r.error, r.created_at,
       r.queued_at, r.started_at, r.finished_at, r.next_attempt_at, s.name as step, s.attempt
from ({found}) found
join lateral (select * from runs where id = found.id limit 1) r on true
join lateral (select name from clients where id = r.client_id limit 1) c on true
left join lateral (
    select name, attempt from steps where run_id = found.id and status <> 'done' order by position limit 1
) s on true
order by found.created_at desc, found.id desc

-- name: newest_runs
select r.id, r.created_at
from runs r
where true {conditions}
order by r.created_at desc, r.id desc
limit {limit}

-- name: newest_runs_of_statuses
select page.id, page.created_at
from unnest(%(statuses)s::run_status[]) as wanted (status)
cross join lateral (
    select r.id, r.created_at
    from runs r
    where r.status = wanted.status {conditions}
    order by r.created_at desc, r.id desc
    limit {limit}
) page
order by page.created_at desc, page.id desc
limit {limit}

-- name: newest_runs_of_kinds
select page.id, page.created_at
from unnest(%(kinds)s::run_kind[]) as wanted (kind)
cross join lateral (
    select r.id, r.created_at
    from runs r
    where r.kind = wanted.kind {conditions}
    order by r.created_at desc, r.id desc
    limit {limit}
) page
order by page.created_at desc, page.id desc
limit {limit}

-- name: where_run_before
and (r.created_at, r.id) < (%(before_created_at)s::timestamptz, %(before_id)s::uuid)

-- name: where_run_status
and r.status = any(%(statuses)s::run_status[])

-- name: where_run_kind
and r.kind = any(%(kinds)s::run_kind[])

-- name: where_run_client
and r.client_id = %(client_id)s

-- name: timelines
-- One row for each attempt; a step without attempts, and a run without steps, have one all the same.
select r.id, r.client_id, r.kind::text, r.status::text, r.priority, r.fence, r.worker_id, r.worker_deaths,
       r.next_attempt_at, r.error, r.created_at, r.queued_at, r.started_at, r.finished_at,
       p.from_plan, p.to_plan, p.requested_by,
       s.position, s.name as step_name, s.status::text as step_status, s.attempt as step_attempt,
       s.started_at as step_started_at, s.finished_at as step_finished_at, s.observation,
       s.error as step_error,
       a.fence as attempt_fence, a.attempt, a.outcome::text, a.started_at as attempt_started_at,
       a.finished_at as attempt_finished_at, a.error as attempt_error, a.worker_id as attempt_worker_id
from ({found}) found
join runs r on r.id = found.id
left join plan_changes p on p.run_id = r.id
left join steps s on s.run_id = r.id
left join step_attempts a on a.run_id = s.run_id and a.position = s.position
order by r.created_at desc, r.id desc, s.position, a.started_at, a.fence

-- name: one_run
select id from runs where id = %(run_id)s
