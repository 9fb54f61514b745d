-- name: insert_plan_change
insert into plan_changes (run_id, client_id, from_plan, to_plan, allow_over_limit, requested_by)
values (%(run_id)s, %(client_id)s, %(from_plan)s, %(to_plan)s, %(allow_over_limit)s,
        %(requested_by)s)

-- name: allow_over_limit
update plan_changes set allow_over_limit = true where run_id = %(run_id)s and not allow_over_limit

-- name: find_plan_change
select run_id, client_id, from_plan, to_plan, allow_over_limit, requested_by, requested_at,
       applied_at
from plan_changes
where run_id = %(run_id)s

-- name: wish_for_plan
update clients set wanted_plan = %(plan)s, updated_at = clock_timestamp()
where id = %(client_id)s

-- name: record_plan
-- The wish has come true. Only what is still wished for is recorded.
update clients set plan = %(plan)s, updated_at = clock_timestamp()
where id = %(client_id)s and wanted_plan = %(plan)s

-- name: record_plan_change
update plan_changes set applied_at = clock_timestamp() where run_id = %(run_id)s

-- name: is_recorded
select c.plan = p.to_plan and p.applied_at is not null as holds
from plan_changes p
join clients c on c.id = p.client_id
where p.run_id = %(run_id)s
