-- name: list_users
select *, count(*) over () as of_all from auth.users
where instance_id = '00000000-0000-0000-0000-000000000000' and deleted_at is null
order by created_at desc, id
limit %(limit)s offset %(offset)s

-- name: count_users
select count(*) as of_all from auth.users
where instance_id = '00000000-0000-0000-0000-000000000000' and deleted_at is null

-- name: find_user
select * from auth.users where id = %(id)s and deleted_at is null

-- name: find_user_by_email
select * from auth.users
where instance_id = '00000000-0000-0000-0000-000000000000' and lower(email) = %(email)s
  and aud = 'authenticated' and is_sso_user = false and deleted_at is null

-- name: find_user_by_phone
select id from auth.users where phone = %(phone)s

-- name: identities_of
select id, user_id, provider, provider_id, identity_data, email, last_sign_in_at, created_at, updated_at
from auth.identities where user_id = %(id)s order by created_at

-- name: insert_user
insert into auth.users (
    instance_id, id, aud, role, email, phone, encrypted_password, email_confirmed_at, phone_confirmed_at,
    confirmation_token, recovery_token, email_change_token_new, email_change,
    raw_app_meta_data, raw_user_meta_data, banned_until, created_at, updated_at
) values (
    '00000000-0000-0000-0000-000000000000', %(id)s, %(aud)s, %(role)s, %(email)s, %(phone)s,
    %(encrypted_password)s,
    case when %(email_confirm)s then now() end, case when %(phone_confirm)s then now() end,
    '', '', '', '', %(app_metadata)s, %(user_metadata)s, %(banned_until)s, now(), now()
)

-- name: insert_identity
insert into auth.identities (user_id, provider, provider_id, identity_data, last_sign_in_at, created_at, updated_at)
values (%(user_id)s, %(provider)s, %(user_id)s::text, %(identity_data)s, now(), now(), now())

-- name: change_user
-- Metadata is merged, as Auth does; a key that is null goes.
update auth.users
set email = coalesce(%(email)s, email),
    phone = coalesce(%(phone)s, phone),
    role = coalesce(%(role)s, role),
    encrypted_password = coalesce(%(encrypted_password)s, encrypted_password),
    email_confirmed_at = case when %(email_confirm)s then coalesce(email_confirmed_at, now()) else email_confirmed_at end,
    phone_confirmed_at = case when %(phone_confirm)s then coalesce(phone_confirmed_at, now()) else phone_confirmed_at end,
    raw_app_meta_data = jsonb_strip_nulls(coalesce(raw_app_meta_data, '{}') || %(app_metadata)s),
    raw_user_meta_data = jsonb_strip_nulls(coalesce(raw_user_meta_data, '{}') || %(user_metadata)s),
    banned_until = case when %(sets_ban)s then %(banned_until)s else banned_until end,
    updated_at = now()
where id = %(id)s

-- name: change_identity
update auth.identities
set identity_data = identity_data || jsonb_build_object('email', %(email)s::text), updated_at = now()
where user_id = %(id)s and provider = 'email'

-- name: record_sign_in
update auth.users set last_sign_in_at = now() where id = %(id)s

-- name: delete_user
delete from auth.users where id = %(id)s
