-- name: insert_session
-- Only if the account is as it was when its password was compared.
insert into admin_sessions (id, secret_digest, account_id, account_version, address, user_agent)
select %(id)s, %(secret_digest)s, id, version, %(address)s, %(user_agent)s
from admin_accounts
where id = %(account_id)s and version = %(account_version)s and disabled_at is null
returning id

-- name: delete_expired_sessions
-- What somebody else deletes in this moment is left to him.
delete from admin_sessions
where id in (
    select id from admin_sessions
    where last_seen_at < clock_timestamp() - make_interval(secs => %(idle)s)
       or signed_in_at < clock_timestamp() - make_interval(secs => %(longest)s)
    for update skip locked
)

-- name: find_session
select session.id, session.account_id, session.address, session.user_agent, session.signed_in_at,
       session.last_seen_at, session.confirmed_at,
       session.confirmed_at > clock_timestamp() - make_interval(secs => %(confirmed)s) as is_confirmed,
       session.last_seen_at < clock_timestamp() - make_interval(secs => %(idle)s / 30.0) as use_is_news,
       session.signed_in_at + make_interval(secs => %(longest)s) as ends_at,
       account.email, account.scopes, account.version, account.must_change_password
from admin_sessions as session
join admin_accounts as account on account.id = session.account_id
where session.secret_digest = %(secret_digest)s
  and session.account_version = account.version and account.disabled_at is null
  and session.last_seen_at > clock_timestamp() - make_interval(secs => %(idle)s)
  and session.signed_in_at > clock_timestamp() - make_interval(secs => %(longest)s)

-- name: session_goes_on
select exists (
    select from admin_sessions as session
    join admin_accounts as account on account.id = session.account_id
    where session.id = %(id)s
      and session.account_version = account.version and account.disabled_at is null
      and session.last_seen_at > clock_timestamp() - make_interval(secs => %(idle)s)
      and session.signed_in_at > clock_timestamp() - make_interval(secs => %(longest)s)
) as goes_on

-- name: record_session_use
update admin_sessions set last_seen_at = clock_timestamp() where id = %(id)s

-- name: confirm_session
update admin_sessions set confirmed_at = clock_timestamp(), last_seen_at = clock_timestamp()
where id = %(id)s
returning confirmed_at

-- name: list_sessions
select session.id, session.address, session.user_agent, session.signed_in_at, session.last_seen_at,
       session.signed_in_at + make_interval(secs => %(longest)s) as ends_at
from admin_sessions as session
join admin_accounts as account on account.id = session.account_id
where session.account_id = %(account_id)s
  and session.account_version = account.version and account.disabled_at is null
  and session.last_seen_at > clock_timestamp() - make_interval(secs => %(idle)s)
  and session.signed_in_at > clock_timestamp() - make_interval(secs => %(longest)s)
order by session.last_seen_at desc, session.id

-- name: end_session
delete from admin_sessions where id = %(id)s and account_id = %(account_id)s
returning id

-- name: end_sessions
delete from admin_sessions
where account_id = %(account_id)s and id is distinct from %(but)s
