-- The times are reckoned from now(): what changes within a statement, as clock_timestamp() does, is not
-- looked up in an index.

-- name: see_one_moment
set transaction isolation level repeatable read, read only

-- name: moment
select now() as at

-- name: count_clients
select status::text, count(*) as clients from clients group by status

-- name: list_workers
-- Alive: heard of within its lease.
select w.id, w.host, w.process_id, w.standing, w.concurrency, w.started_at, w.heartbeat_at,
       coalesce(busy.runs, 0) as busy
from workers w
left join (
    select worker_id, count(*) as runs from runs where status = 'running' group by worker_id
) busy on busy.worker_id = w.id
where w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
order by w.started_at, w.id

-- name: list_servers
select s.id, s.name, s.provider, s.region, s.client_limit, s.accepting, used.clients
from servers s
cross join lateral (
    select count(*) as clients from client_databases d where d.server_id = s.id and d.status <> 'absent'
) used
order by s.name

-- name: read_queue
select count(*) filter (where status = 'queued') as queued,
       count(*) filter (where status = 'running') as running,
       count(*) filter (where status = 'waiting') as waiting,
       min(next_attempt_at) filter (where status = 'waiting') as next_attempt_at
from runs
where status in ('queued', 'running', 'waiting')

-- name: longest_waiting
-- Whoever waits the longest for a worker.
select r.client_id, c.name as client_name, r.queued_at,
       (extract(epoch from now() - r.queued_at) * 1000)::float8 as wait_ms
from runs r
join clients c on c.id = r.client_id
where r.status = 'queued'
order by r.queued_at
limit 1

-- name: count_finished
select count(*) filter (where finished_at > now() - interval '5 minutes') as last_five_minutes,
       count(*) as last_hour
from runs
where finished_at > now() - interval '1 hour'

-- name: count_failed_runs
select count(*) as failed from runs
where status = 'failed' and finished_at > now() - interval '24 hours'

-- name: latest_failures
-- What has failed and stands so: a client that is failed, or the latest change of one. Newest first.
select r.client_id, c.name as client_name, r.kind::text, r.error ->> 'code' as code,
       r.error ->> 'message' as message, s.name as step, r.finished_at
from runs r
join clients c on c.id = r.client_id
left join lateral (
    select name from steps where run_id = r.id and status = 'failed' order by position limit 1
) s on true
where r.status = 'failed'
  and (c.status = 'failed' or r.kind <> 'provision_client')
  and not (r.kind = 'resume_client' and c.status = 'ready' and c.wanted_status = 'ready')
  and not exists (
      select from runs later where later.client_id = r.client_id and later.created_at > r.created_at
  )
order by r.finished_at desc, r.id
limit %(limit)s

-- name: latest_quarantined
select id as client_id, name as client_name, quarantined_at
from clients
where status = 'quarantined'
order by created_at desc, id desc
limit %(limit)s

-- name: count_undelivered
select count(*) as notifications, min(created_at) as since
from notifications
where delivery = 'pending' and created_at < now() - make_interval(secs => %(older_than_seconds)s)

-- name: time_to_ready
-- From being queued to being ready, in ms: for each bucket in which a client became ready, and (bucket
-- NULL) for the whole time.
select date_bin(%(width)s::interval, finished_at, %(begin)s::timestamptz) as bucket, count(*) as clients,
       percentile_cont(array[0.5, 0.95]) within group (
           order by (extract(epoch from finished_at - queued_at) * 1000)::float8
       ) as percentiles
from runs
where status = 'succeeded' and kind = 'provision_client'
  and finished_at >= %(begin)s::timestamptz and finished_at < %(end)s::timestamptz
group by grouping sets ((1), ())
order by 1 nulls first

-- name: failures_by_cause
-- Of the latest failures, so many at most.
select failed.code, failed.kind, failed.step, count(*) as failures, max(failed.finished_at) as latest_at,
       (array_agg(failed.message order by failed.finished_at desc))[1] as message,
       (array_agg(failed.client_id order by failed.finished_at desc))[1] as client_id,
       (array_agg(c.name order by failed.finished_at desc))[1] as client_name
from (
    select r.client_id, r.kind::text, r.finished_at, r.error ->> 'code' as code,
           r.error ->> 'message' as message, s.name as step
    from (
        select id, client_id, kind, finished_at, error from runs
        where status = 'failed' and finished_at > now() - make_interval(secs => %(seconds)s)
        order by finished_at desc, id
        limit %(limit)s
    ) r
    left join lateral (
        select name from steps where run_id = r.id and status = 'failed' order by position limit 1
    ) s on true
) failed
join clients c on c.id = failed.client_id
group by failed.code, failed.kind, failed.step
order by failures desc, latest_at desc
