-- The pieces of a list of clients. Each way into the table goes along an index that has the order of the
-- list and stops when the page is full.

-- name: page
-- What a list shows of the clients that were found. One look into an index for each; each lateral keeps
-- the planner from reading a whole table instead.
select c.id, c.name, c.plan, c.wanted_plan, c.status::text, c.blueprint, c.created_at, c.ready_at,
       c.updated_at, a.email as admin_email, d.name as database_name, s.name as server_name, s.provider,
       s.region, c.quarantined_at, v.began_at as verified_at, v.holds as isolation_holds, c.suspended_at, c.deleted_at
from ({found}) found
join lateral (select * from clients where id = found.id limit 1) c on true
join lateral (select email from client_admins where client_id = found.id limit 1) a on true
join lateral (select name, server_id from client_databases where client_id = found.id limit 1) d on true
join lateral (select name, provider, region from servers where id = d.server_id limit 1) s on true
left join lateral (
    select began_at, holds from isolation_verdicts where client_id = found.id order by id desc limit 1
) v on true
order by found.created_at desc, found.id desc

-- name: newest
select c.id, c.created_at
from clients c
where true {conditions}
order by c.created_at desc, c.id desc
limit {limit}

-- name: newest_of_statuses
select page.id, page.created_at
from unnest(%(statuses)s::client_status[]) as wanted (status)
cross join lateral (
    select c.id, c.created_at
    from clients c
    where c.status = wanted.status {conditions}
    order by c.created_at desc, c.id desc
    limit {limit}
) page
order by page.created_at desc, page.id desc
limit {limit}

-- name: newest_of_plans
select page.id, page.created_at
from unnest(%(plans)s::text[]) as wanted (plan)
cross join lateral (
    select c.id, c.created_at
    from clients c
    where c.plan = wanted.plan {conditions}
    order by c.created_at desc, c.id desc
    limit {limit}
) page
order by page.created_at desc, page.id desc
limit {limit}

-- name: newest_on_servers
select page.id, page.created_at
from (select id from servers where true {of_servers}) as wanted
cross join lateral (
    select c.id, c.created_at
    from clients c
    where c.server_id = wanted.id {conditions}
    order by c.created_at desc, c.id desc
    limit {limit}
) page
order by page.created_at desc, page.id desc
limit {limit}

-- name: newest_with_word
-- For a word that few have: all of them in order, looked at until the page is full.
select wanted.client_id as id, wanted.created_at
from ({having_word} order by created_at desc, client_id desc) wanted
cross join lateral (
    select from clients c where c.id = wanted.client_id {conditions} limit 1
) c
order by wanted.created_at desc, wanted.client_id desc
limit {limit}

-- name: having_word
-- Union: a client may have several words that begin so, or be found by its id as well.
select w.created_at, w.client_id
from client_words w
where w.word >= %(rarest_word)s and w.word < end_of_prefix(%(rarest_word)s)
union
select c.created_at, c.id
from clients c
where c.id between %(id_from)s and %(id_to)s

-- name: measure_words
-- The words of what is searched for, and how many words of clients begin so, up to what is enough.
select wanted.word, counted.clients
from unnest((words_of(%(search)s))[1:12]) with ordinality as wanted (word, position)
cross join lateral (
    select count(*) as clients
    from (
        select from client_words w
        where w.word >= wanted.word and w.word < end_of_prefix(wanted.word)
        limit {enough}
    ) w
) counted
order by wanted.position

-- name: count_statuses
-- Each up to what is enough.
select wanted.status::text, counted.clients
from unnest(enum_range(null::client_status)) as wanted (status)
cross join lateral (
    select count(*) as clients
    from (
        select from clients c
        where c.status = wanted.status {conditions}
        {in_order}
        limit {enough}
    ) c
) counted

-- name: count_statuses_with_word
select wanted.status::text, count(c.status) as clients
from unnest(enum_range(null::client_status)) as wanted (status)
left join (
    select c.status
    from ({having_word}) wanted
    cross join lateral (
        select c.status from clients c where c.id = wanted.client_id {conditions} limit 1
    ) c
) c on c.status = wanted.status
group by wanted.status

-- name: newest_first
order by c.created_at desc, c.id desc

-- name: where_before
and (c.created_at, c.id) < (%(before_created_at)s::timestamptz, %(before_id)s::uuid)

-- name: where_status
and c.status = any(%(statuses)s::client_status[])

-- name: where_not_deleted
and c.status <> 'deleted'

-- name: where_plan
and c.plan = any(%(plans)s::text[])

-- name: where_server
and c.server_id = any(array(select id from servers where true {of_servers}))

-- name: where_words
-- All of the words, or the id.
and (({words}) or c.id between %(id_from)s and %(id_to)s)

-- name: where_word
strpos(c.search_words, {word}) > 0

-- name: of_server_names
and name = any(%(servers)s::text[])

-- name: of_regions
and region = any(%(regions)s::text[])
