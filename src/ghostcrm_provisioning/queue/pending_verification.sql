-- name: find_pending_verification
-- What somebody asked for, or the night brings, and has not come to its end; the first that is taken up.
select j.status = 'picked' as is_under_way, j.created, j.execute_after, j.attempts,
       j.dedupe_key like '%%/release/%%' as is_release
from ghostcrm_queue.jobs j
where (j.dedupe_key = 'verification/' || %(client_id)s::uuid
       or j.dedupe_key like 'verification/' || %(client_id)s::uuid || '/%%')
  and j.status in ('queued', 'picked')
order by j.status = 'picked' desc, j.priority desc, j.id
limit 1
