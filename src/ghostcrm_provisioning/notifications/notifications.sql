-- name: was_told
-- Whether the same was said of the client in the last days.
select exists (
    select from notifications
    where client_id = %(client_id)s and subject = %(subject)s
      and created_at > clock_timestamp() - make_interval(days => %(days)s)
) as holds

-- name: insert_notification
insert into notifications (client_id, run_id, severity, subject, body, delivery)
values (%(client_id)s, %(run_id)s, %(severity)s, %(subject)s, %(body)s, %(delivery)s)
returning id

-- name: find_pending
select id, severity, subject, body, delivery_attempts from notifications
where id = %(id)s and delivery = 'pending'

-- name: mark_delivered
update notifications
set delivery = 'delivered', delivered_at = clock_timestamp(), delivery_error = null,
    delivery_attempts = delivery_attempts + 1
where id = %(id)s

-- name: mark_undelivered
update notifications
set delivery_error = %(error)s, delivery_attempts = delivery_attempts + 1
where id = %(id)s

-- name: list_notifications
select id, client_id, run_id, severity, subject, body, created_at, delivery, delivery_error,
       delivered_at
from notifications
where id < coalesce(%(before_id)s::bigint, 9223372036854775807)
order by id desc
limit %(limit)s

-- name: list_page
-- The newest first, with the client's name as it is today. Filters that are null do not count.
select n.id, n.client_id, c.name as client_name, n.run_id, n.severity, n.subject, n.body, n.created_at,
       n.delivery, n.delivery_attempts, n.delivery_error, n.delivered_at
from notifications n
left join clients c on c.id = n.client_id
where (%(before_id)s::bigint is null or n.id < %(before_id)s::bigint)
  and (%(severity)s::text is null or n.severity = %(severity)s::text)
  and (%(delivery)s::text is null or n.delivery = %(delivery)s::text)
order by n.id desc
limit %(limit)s
