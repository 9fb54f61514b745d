-- name: insert_account
insert into admin_accounts (id, email, password_hash, must_change_password, scopes, main_project_user_id, created_by)
values (%(id)s, %(email)s, %(password_hash)s, %(must_change_password)s, %(scopes)s, %(main_project_user_id)s,
        %(created_by)s)
on conflict do nothing
returning id

-- name: any_account
select exists (select from admin_accounts) as exist

-- name: lock_accounts
-- Those who change accounts come one after the other, so that what one of them has counted is still so
-- when it changes something, and none waits for another who waits for it. Reading goes on.
lock table admin_accounts in share row exclusive mode

-- name: find_account_to_sign_in
select id, email, password_hash, scopes, version, disabled_at is null as is_enabled
from admin_accounts where email = %(email)s

-- name: is_current
select exists (
    select from admin_accounts where id = %(id)s and version = %(version)s and disabled_at is null
) as is_current

-- name: record_sign_in
-- Only if nothing has changed while the password was being compared.
update admin_accounts set last_signed_in_at = clock_timestamp()
where id = %(id)s and version = %(version)s and disabled_at is null
returning id

-- name: find_account_of_main_project_user
select id, email, scopes, version
from admin_accounts where main_project_user_id = %(user_id)s and disabled_at is null

-- name: list_accounts
select id, email, must_change_password, scopes, main_project_user_id, created_by, created_at, password_changed_at,
       last_signed_in_at, disabled_at, disabled_by
from admin_accounts
order by email

-- name: find_account
select id, email, must_change_password, scopes, main_project_user_id, created_by, created_at, password_changed_at,
       last_signed_in_at, disabled_at, disabled_by
from admin_accounts where id = %(id)s

-- name: find_account_by_email
select id, email, must_change_password, scopes, main_project_user_id, created_by, created_at, password_changed_at,
       last_signed_in_at, disabled_at, disabled_by
from admin_accounts where email = %(email)s

-- name: lock_account
select id, email, scopes, disabled_at is null as is_enabled
from admin_accounts where id = %(id)s for update

-- name: another_admin
-- Whether somebody who may do everything is left without this one.
select exists (
    select from admin_accounts
    where id <> %(id)s and disabled_at is null and 'admin' = any (scopes)
) as is_left

-- name: set_password
update admin_accounts
set password_hash = %(password_hash)s, must_change_password = %(must_change_password)s,
    password_changed_at = clock_timestamp(), version = version + 1
where id = %(id)s
returning version

-- name: set_own_password
update admin_accounts
set password_hash = %(password_hash)s, must_change_password = false,
    password_changed_at = clock_timestamp(), version = version + 1
where id = %(id)s and version = %(version)s and disabled_at is null
returning version

-- name: set_scopes
update admin_accounts set scopes = %(scopes)s, version = version + 1 where id = %(id)s

-- name: disable_account
update admin_accounts
set disabled_at = clock_timestamp(), disabled_by = %(by)s, version = version + 1
where id = %(id)s and disabled_at is null

-- name: enable_account
update admin_accounts set disabled_at = null, disabled_by = null where id = %(id)s and disabled_at is not null

-- name: link_account
update admin_accounts set main_project_user_id = %(user_id)s where id = %(id)s

-- name: account_of_link
select email from admin_accounts where main_project_user_id = %(user_id)s and id <> %(id)s

-- name: delete_sessions_of_account
-- They are over by the account's version already; so they stand in no list either.
delete from admin_sessions where account_id = %(id)s
