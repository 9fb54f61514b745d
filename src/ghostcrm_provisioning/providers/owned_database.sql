-- name: own_rights
-- What the login that we are may do about other logins.
select r.rolcreaterole or r.rolsuper as makes_logins, r.rolname as name
from pg_roles r where r.rolname = session_user

-- name: find_login
select rolcanlogin, rolconnlimit from pg_roles where rolname = %(login)s

-- name: others_inside
-- Who else is connected to this database with one of these logins. What a session calls itself proves nothing:
-- whoever has the owner's password can call it as we do. One of ours that was closed is there for a moment.
select usename::text as login, bool_and(application_name = %(ours)s) as is_called_ours
from pg_stat_activity
where datname = current_database() and usename = any(%(logins)s)
  and pid <> pg_backend_pid() and pid <> all(%(own)s)
group by usename

-- name: end_sessions
-- All but those that this process has open; another of our workers connects again.
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and usename = any(%(logins)s)
  and pid <> pg_backend_pid() and pid <> all(%(own)s)

-- name: own_session
select pg_catalog.pg_backend_pid() as pid

-- name: begin_as_ourselves
-- Whoever owns a database may say how sessions in it begin: as whom, with which time-outs, and under whose
-- functions. SET, because the name of a function could be taken for one of theirs. It is one message.
set statement_timeout = '60s';
set role none;
set search_path = '';
set lock_timeout = '30s';
set timezone = 'UTC'

-- name: undo_their_settings
-- Whatever else was set for this login or database, as PostgreSQL has it where nothing is set.
select set_config(name, boot_val, false) from pg_settings
where source in ('database', 'user', 'database user') and context = 'user' and boot_val is not null
  and name <> all(%(but)s)
