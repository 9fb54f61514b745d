-- name: insert_change
insert into lifecycle_changes (run_id, client_id, with_export, reason, requested_by)
values (%(run_id)s, %(client_id)s, %(with_export)s, %(reason)s, %(requested_by)s)

-- name: find_change
select l.run_id, l.client_id, r.kind::text, l.with_export, l.reason, l.requested_by, l.requested_at
from lifecycle_changes l
join runs r on r.id = l.run_id
where l.run_id = %(run_id)s

-- name: wish
update clients set wanted_status = %(wish)s, updated_at = clock_timestamp()
where id = %(client_id)s

-- name: mark_suspended
-- Its database was observed to be closed. Nothing is returned when that was known, or is not wished any more.
update clients
set status = 'suspended', suspended_at = clock_timestamp(), updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'suspended' and status = 'ready'
returning id

-- name: mark_resumed
-- It was proven, and its doors were observed to be open. Nothing is returned when that is not wished any more.
update clients
set status = 'ready', suspended_at = null, updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'ready' and status in ('suspended', 'ready')
returning id

-- name: mark_deleting
-- Nobody gets into it any more.
update clients
set status = 'deleting', suspended_at = null, quarantined_at = null, quarantine_verdict_id = null,
    updated_at = clock_timestamp()
where id = %(client_id)s and wanted_status = 'deleted' and status not in ('deleting', 'deleted')
returning id

-- name: mark_absent
-- The certificate. What opened the database is erased with it.
update client_databases
set status = 'absent', credentials_sealed = null, observed_at = clock_timestamp(),
    absent_at = clock_timestamp(), absence = %(seen)s
where client_id = %(client_id)s and status <> 'absent'

-- name: mark_deleted
-- The company may register again: only a key that somebody chose stays taken.
update clients
set status = 'deleted', deleted_at = clock_timestamp(), updated_at = clock_timestamp(),
    idempotency_key = case when starts_with(idempotency_key, 'registration:') then null else idempotency_key end
where id = %(client_id)s and wanted_status = 'deleted' and status = 'deleting'
returning id

-- name: seen_of_absence
-- What the run that deletes the client has seen when nothing was left.
select s.observation
from runs r
join steps s on s.run_id = r.id and s.name = 'remove_database'
where r.client_id = %(client_id)s and r.kind = 'delete_client' and r.status = 'running'

-- name: verdict_since_queued
-- The newest verdict on the client since the run was asked for.
select v.holds, v.began_at
from isolation_verdicts v
join runs r on r.client_id = v.client_id
where r.id = %(run_id)s and v.recorded_at >= r.queued_at
order by v.id desc
limit 1

-- name: insert_export
insert into client_exports (id, client_id, database_id, run_id, requested_by, reason, taken_at, host,
                            manifest_path, manifest, bytes)
values (%(id)s, %(client_id)s, %(database_id)s, %(run_id)s, %(requested_by)s, %(reason)s, %(taken_at)s,
        %(host)s, %(manifest_path)s, %(manifest)s, %(bytes)s)

-- name: export_of_run
select id, taken_at, host, manifest_path, manifest, bytes
from client_exports where run_id = %(run_id)s order by taken_at desc limit 1

-- name: export_of_suspension
-- The one with which the client was suspended, unless it was resumed since.
select e.id, e.taken_at, e.host, e.manifest_path, e.manifest, e.bytes
from client_exports e
join runs r on r.id = e.run_id and r.kind = 'suspend_client' and r.status = 'succeeded'
where e.client_id = %(client_id)s
  and not exists (
      select from runs later
      where later.client_id = e.client_id and later.kind = 'resume_client'
        and later.created_at > r.created_at
  )
order by e.taken_at desc
limit 1

-- name: list_exports
-- Newest first.
select id, taken_at, host, manifest_path, manifest, bytes, requested_by
from client_exports where client_id = %(client_id)s order by taken_at desc limit %(limit)s
