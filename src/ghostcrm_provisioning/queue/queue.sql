-- name: runs_without_job
-- Unfinished runs that no job in the queue points to.
select r.id as run_id, r.priority, r.fence, d.server_id
from runs r
join client_databases d on d.client_id = r.client_id
where r.status in ('queued', 'running', 'waiting')
  and r.updated_at < clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
  and not exists (
      select from ghostcrm_queue.jobs j
      where split_part(j.dedupe_key, '/', 2) = r.id::text and j.status in ('queued', 'picked')
  )
order by r.priority desc, r.created_at
limit 1000

-- name: notifications_without_job
-- Notifications that are to be delivered and that no job in the queue points to.
select n.id
from notifications n
where n.delivery = 'pending'
  and n.created_at < clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
  and not exists (
      select from ghostcrm_queue.jobs j
      where j.dedupe_key = 'notification/' || n.id and j.status in ('queued', 'picked')
  )
order by n.id
limit 1000

-- name: quarantines_without_job
-- Clients whose quarantine, or release, was wished for and not observed, and that no job points to.
select c.id
from clients c
where c.quarantine_verdict_id is not null and c.wanted_status::text <> c.status::text
  and c.wanted_status in ('ready', 'quarantined')
  and c.updated_at < clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
  and not exists (
      select from ghostcrm_queue.jobs j
      where j.dedupe_key = 'verification/' || c.id and j.status in ('queued', 'picked')
  )
order by c.id
limit 1000

-- name: server_ids
select id from servers

-- name: waits_to_begin
-- Whether somebody has asked for the same already, and no worker has taken it up.
select from ghostcrm_queue.jobs j
where starts_with(j.dedupe_key, %(key)s || '/') and j.status = 'queued'
limit 1
