-- name: observe_database
-- The database, its stamp, and who may do what with it.
select d.datname, d.datallowconn, d.datdba = (select oid from pg_roles where rolname = current_user) as is_ours,
       shobj_description(d.oid, 'pg_database') as stamp,
       coalesce((
           select array_agg(coalesce(r.rolname, 'public') || ' ' || a.privilege_type)
           from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
           left join pg_roles r on r.oid = a.grantee
           where a.grantee <> d.datdba
       ), '{}')::text[] as privileges
from pg_database d
where d.datname = %(name)s

-- name: observe_logins
select r.rolname, r.rolconnlimit, r.rolcanlogin, r.rolinherit,
       coalesce((
           select array_agg(g.rolname order by g.rolname)
           from pg_auth_members m join pg_roles g on g.oid = m.roleid
           where m.member = r.oid
       ), '{}')::text[] as member_of,
       coalesce((
           select array_agg(setting order by setting)
           from pg_db_role_setting s, unnest(s.setconfig) as setting
           where s.setrole = r.oid and s.setdatabase = 0
       ), '{}')::text[] as settings
from pg_roles r
where r.rolname = any(%(names)s)

-- name: connection_limit
select rolconnlimit from pg_roles where rolname = %(login)s

-- name: enabled_logins
-- A database's own logins that may log in.
select rolname from pg_roles where starts_with(rolname, %(prefix)s) and rolcanlogin

-- name: lock_template
-- Held by the session: if the builder dies, the next one gets it.
select pg_advisory_lock(hashtextextended(%(name)s, 0))

-- name: unlock_template
select pg_advisory_unlock(hashtextextended(%(name)s, 0))

-- name: lock_scratch
-- Held by the session for as long as it works in the scratch database of that name.
select pg_advisory_lock(hashtextextended(%(name)s, 1))

-- name: try_lock_scratch
select pg_try_advisory_lock(hashtextextended(%(name)s, 1)) as locked

-- name: unlock_scratch
select pg_advisory_unlock(hashtextextended(%(name)s, 1))

-- name: databases_of_ours
select datname from pg_database
where starts_with(datname, %(prefix)s)
  and datdba = (select oid from pg_roles where rolname = current_user)

-- name: end_own_sessions
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = %(name)s and usename = current_user and pid <> pg_backend_pid()

-- name: logins_of
-- Those that are members of others first: so may they go.
select r.rolname
from pg_roles r
where starts_with(r.rolname, %(prefix)s)
order by exists (
    select from pg_auth_members m join pg_roles g on g.oid = m.roleid
    where m.member = r.oid and starts_with(g.rolname, %(prefix)s)
) desc, r.rolname
