-- name: list_faults
select * from faults order by created_at, id

-- name: insert_fault
insert into faults (id, kind, method, path, remaining, status, seconds, state)
values (%(id)s, %(kind)s, %(method)s, %(path)s, %(remaining)s, %(status)s, %(seconds)s, %(state)s)
returning *

-- name: find_fault
select from faults where id = %(id)s

-- name: delete_fault
delete from faults where id = %(id)s
returning *

-- name: delete_all_faults
delete from faults
returning *

-- name: meet
-- Whether a request meets a fault: the oldest that fits and is not used up. Locked while it is counted,
-- so that n requests meet a fault for n, however many come at once.
update faults
set met = met + 1, remaining = remaining - 1
where id = (
    select id from faults
    where kind = any(%(kinds)s)
      and (method is null or method = %(method)s)
      and %(path)s like replace(replace(replace(replace(path, '\', '\\'), '_', '\_'), '%%', '\%%'), '*', '%%')
      and (remaining is null or remaining > 0)
    order by created_at, id
    limit 1
    for update
)
returning *
