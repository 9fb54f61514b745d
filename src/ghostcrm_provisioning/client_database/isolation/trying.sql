-- name: forget_prepared
-- Whatever has been prepared on this connection.
deallocate all

-- name: begin_attempt
savepoint attempt

-- name: undo_attempt
rollback to savepoint attempt

-- name: plan_once
-- A statement that was prepared is planned for whatever value it is run with.
set local plan_cache_mode = force_generic_plan

-- name: prepare
-- Followed by the statement, whose one value is $1.
prepare {name} as

-- name: execute
execute {name} ({value})
