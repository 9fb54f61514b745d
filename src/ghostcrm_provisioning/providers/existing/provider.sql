-- name: our_logins
-- Those that we made for the client, each with whether it may enter this database.
select r.rolname::text as login, r.rolcanlogin as may_log_in, exists (
           select from pg_database d, aclexplode(d.datacl) a
           where d.datname = current_database() and a.grantee = r.oid and a.privilege_type = 'CONNECT'
       ) as may_enter
from pg_roles r
where starts_with(r.rolname, %(prefix)s)
order by r.rolname

-- name: lock_claim
-- Until the end of the transaction: whoever works on the same client's database takes turns here.
select pg_advisory_xact_lock(hashtextextended(%(name)s, 0))

-- name: who_is_in
-- Sessions of these logins.
select distinct usename::text as login from pg_stat_activity
where datname = current_database() and usename = any(%(logins)s)
order by 1

-- name: let_in_by_name
-- Who may connect to this database besides its owner, everybody, and our own logins.
select distinct r.rolname::text as name
from pg_database d, aclexplode(d.datacl) a join pg_roles r on r.oid = a.grantee
where d.datname = current_database() and a.privilege_type = 'CONNECT' and a.grantee <> d.datdba
  and not starts_with(r.rolname, %(prefix)s)
order by 1
