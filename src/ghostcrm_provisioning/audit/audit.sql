-- Only ever added to: a trigger refuses every change.

-- name: record
insert into audit_log (actor, action, client_id, target, result, address, request_id, details)
values (%(actor)s, %(action)s, %(client_id)s, %(target)s, %(result)s, %(address)s, %(request_id)s, %(details)s)

-- The newest first, with the client's name as it is today. Filters that are null do not count.
-- name: list_entries
select a.id, a.at, a.actor, a.action, a.client_id, c.name as client_name, a.target, a.result, a.address,
       a.request_id, a.details
from audit_log a
left join clients c on c.id = a.client_id
where (%(since)s::timestamptz is null or a.at >= %(since)s::timestamptz)
  and (%(until)s::timestamptz is null or a.at < %(until)s::timestamptz)
  and (%(actor)s::text is null or a.actor = %(actor)s::text)
  and (%(action)s::text is null or a.action = %(action)s::text)
  and (%(client_id)s::uuid is null or a.client_id = %(client_id)s::uuid)
  and (%(result)s::text is null or a.result = %(result)s::text)
  and (%(address)s::text is null or a.address = %(address)s::text)
  and (%(request_id)s::text is null or a.request_id = %(request_id)s::text)
  and (%(before_id)s::bigint is null
       or (a.at, a.id) < (%(before_at)s::timestamptz, %(before_id)s::bigint))
order by a.at desc, a.id desc
limit %(limit)s

-- The actions that occur, found by jumps through the index instead of by reading the log.
-- name: list_actions
with recursive known as (
    (select action from audit_log order by action limit 1)
    union all
    select (select a.action from audit_log a where a.action > k.action order by a.action limit 1)
    from known k where k.action is not null
)
select action from known where action is not null

-- name: list_actors
with recursive known as (
    (select actor from audit_log order by actor limit 1)
    union all
    select (select a.actor from audit_log a where a.actor > k.actor order by a.actor limit 1)
    from known k where k.actor is not null
)
select actor from known where actor is not null limit %(limit)s
