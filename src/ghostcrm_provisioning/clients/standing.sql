-- name: standings
-- For each of these clients its latest run, and the step at which that stands. One look into an index each.
select c.id as client_id, d.blueprint_fingerprint, r.id as run_id, r.kind::text, r.status::text as run_status,
       r.error, r.next_attempt_at, r.finished_at, s.name as step, s.attempt
from unnest(%(client_ids)s::uuid[]) as c (id)
join client_databases d on d.client_id = c.id
cross join lateral (
    select * from runs where client_id = c.id order by created_at desc, id desc limit 1
) r
left join lateral (
    select name, attempt from steps where run_id = r.id and status <> 'done' order by position limit 1
) s on true

-- name: waiting_runs
-- What waits for a worker, in the order in which it is taken up.
select r.id as run_id, r.client_id, c.name as client_name, r.kind::text, r.queued_at, r.priority,
       sv.name as server_name
from runs r
join clients c on c.id = r.client_id
join client_databases d on d.client_id = r.client_id
join servers sv on sv.id = d.server_id
where r.status = 'queued'
order by r.priority desc, r.created_at, r.id
limit %(limit)s

-- name: running_by_server
-- How many runs are being carried out on each server.
select d.server_id, s.name as server_name, count(*) as running
from runs r
join client_databases d on d.client_id = r.client_id
join servers s on s.id = d.server_id
where r.status = 'running'
group by d.server_id, s.name
order by s.name

-- name: clock
-- The clock that writes the records.
select clock_timestamp() as now
