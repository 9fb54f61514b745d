-- name: insert_rotation
insert into credential_rotations (run_id, client_id, database_id, number, passwords, keys, legacy_keys,
                                  end_sessions, reason, requested_by)
values (%(run_id)s, %(client_id)s, %(database_id)s, %(number)s, %(passwords)s, %(keys)s, %(legacy_keys)s,
        %(end_sessions)s, %(reason)s, %(requested_by)s)

-- name: next_number
select coalesce(max(number), 0) + 1 as number from credential_rotations where database_id = %(database_id)s

-- name: find_rotation
select run_id, client_id, number, passwords, keys, legacy_keys, end_sessions, reason, requested_by, requested_at,
       passwords_set_at, replaced_at, retired_at, keys_left
from credential_rotations where run_id = %(run_id)s

-- name: mark_passwords_set
update credential_rotations set passwords_set_at = clock_timestamp() where run_id = %(run_id)s

-- name: mark_replaced
update credential_rotations set replaced_at = clock_timestamp()
where run_id = %(run_id)s and replaced_at is null

-- name: mark_retired
update credential_rotations set retired_at = clock_timestamp(), keys_left = %(keys_left)s
where run_id = %(run_id)s
