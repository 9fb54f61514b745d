-- name: find_others
-- Logins that the owner has made, or that one of those has: from PostgreSQL 16 on, whoever makes a role is its
-- administrator. Before, everybody who makes roles administers all: there, whatever is not known to be Supabase's.
-- On a server of many projects, those of others may not connect here.
with recursive ours (oid) as (
    select oid from pg_roles where rolname = session_user
    union
    select m.roleid
    from pg_auth_members m join ours on ours.oid = m.member join pg_roles r on r.oid = m.roleid
    where m.admin_option and not r.rolsuper and r.rolname <> all(%(known)s)
)
select r.rolname::text as login, r.rolcanlogin as may_log_in,
       current_setting('server_version_num')::int >= 160000 as is_surely_theirs
from pg_roles r join pg_roles me on me.rolname = session_user
where me.rolcreaterole and r.oid <> me.oid and not r.rolsuper and r.rolname <> all(%(known)s)
  and not starts_with(r.rolname, 'pg_')
  and (current_setting('server_version_num')::int < 160000 or r.oid in (select oid from ours))
  and has_database_privilege(r.oid, current_database(), 'connect')
order by r.rolname

-- name: end_sessions_of
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and usename = %(login)s
