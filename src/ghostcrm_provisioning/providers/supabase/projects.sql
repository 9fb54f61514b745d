-- name: try_to_be_alone
-- For the time of this transaction; it comes back at once.
select pg_try_advisory_xact_lock(hashtextextended('supabase project ' || %(database_id)s::text, 0)) as alone

-- name: allow_long_waits
-- While others are kept away, this transaction waits for answers of Supabase. Whoever is frozen meanwhile
-- loses his place all the same.
select set_config('idle_in_transaction_session_timeout', %(milliseconds)s, true)

-- name: intend
insert into supabase_projects (database_id, stamp, organization_slug)
values (%(database_id)s, %(stamp)s, %(organization_slug)s)
on conflict (database_id) do nothing

-- name: find
select database_id, stamp, organization_slug, ref, status, ready_at, removed_at,
       extract(epoch from clock_timestamp() - create_sent_at)::float8 as create_sent_seconds_ago,
       extract(epoch from clock_timestamp() - status_since)::float8 as status_seconds
from supabase_projects where database_id = %(database_id)s

-- name: creation_is_sent
update supabase_projects set create_sent_at = clock_timestamp() where database_id = %(database_id)s

-- name: creation_is_answered
-- Whatever it was, nothing more will come of it.
update supabase_projects set create_sent_at = null where database_id = %(database_id)s

-- name: use_project
-- What has been ready is not exchanged any more.
update supabase_projects
set ref = case when ready_at is null then %(ref)s else coalesce(ref, %(ref)s) end
where database_id = %(database_id)s
returning ref

-- name: forget_project
-- It was gone before it was ever ready: another one may be made.
update supabase_projects set ref = null, status = null, status_since = null
where database_id = %(database_id)s and ready_at is null

-- name: see_status
-- Since when, is kept while it stays the same.
update supabase_projects
set status_since = case when status is distinct from %(status)s then clock_timestamp() else status_since end,
    status = %(status)s
where database_id = %(database_id)s
returning extract(epoch from clock_timestamp() - status_since)::float8 as seconds

-- name: is_ready
update supabase_projects set ready_at = coalesce(ready_at, clock_timestamp())
where database_id = %(database_id)s

-- name: is_removed
update supabase_projects
set removed_at = coalesce(removed_at, clock_timestamp()), create_sent_at = null, status = 'REMOVED',
    status_since = case when status = 'REMOVED' then status_since else clock_timestamp() end
where database_id = %(database_id)s

-- name: keep_schemas
-- The first to close it knows what was shown before.
update supabase_projects set schemas_before_closing = coalesce(schemas_before_closing, %(schemas)s)
where database_id = %(database_id)s

-- name: schemas_before_closing
select schemas_before_closing from supabase_projects where database_id = %(database_id)s

-- name: pause_is_refused
update supabase_projects set pause_refused_at = clock_timestamp() where database_id = %(database_id)s

-- name: was_pause_refused
select pause_refused_at is not null as refused from supabase_projects where database_id = %(database_id)s

-- name: forget_refused_pause
update supabase_projects set pause_refused_at = null
where database_id = %(database_id)s and pause_refused_at is not null

-- name: forget_schemas
update supabase_projects set schemas_before_closing = null where database_id = %(database_id)s

-- name: keep_logins
-- Whoever closes it again, finds some of them shut out already.
update supabase_projects
set logins_before_closing =
    array(select distinct login from unnest(logins_before_closing || %(logins)s::text[]) login order by login)
where database_id = %(database_id)s

-- name: logins_before_closing
select logins_before_closing from supabase_projects where database_id = %(database_id)s

-- name: forget_logins
update supabase_projects set logins_before_closing = '{}' where database_id = %(database_id)s
