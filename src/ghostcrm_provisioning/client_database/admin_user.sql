-- name: observe_admin_user
-- The admin as Supabase Auth and the CRM see them; one row, whatever is missing.
select u.id is not null as has_user,
       u.encrypted_password <> '' as has_password,
       i.user_id is not null as has_identity
from (select %(user_id)s::uuid as id) wanted
left join auth.users u
    on u.id = wanted.id and u.email = %(email)s and u.email_confirmed_at is not null
left join auth.identities i
    on i.user_id = wanted.id and i.provider = 'email' and i.provider_id = wanted.id::text

-- name: may_read_users
-- A project's owner at Supabase may, today; it is not promised.
select coalesce(has_schema_privilege('auth', 'usage')
                and has_table_privilege(to_regclass('auth.users'), 'select')
                and has_table_privilege(to_regclass('auth.identities'), 'select'), false) as holds

-- name: sees_users
select exists (select from auth.users) as holds

-- name: keeps_profiles
-- A blueprint without the table public.profiles knows people only by auth.users. Asked of the catalog,
-- which everybody may read: to_regclass is refused to whoever may not use the schema, as our caretaker
-- before it becomes somebody.
select exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relname = 'profiles' and c.relkind in ('r', 'p')
) as holds

-- name: observe_profile
select role_key = 'owner' and is_active as is_owner from public.profiles where id = %(user_id)s

-- name: find_user_by_email
select id from auth.users where email = %(email)s and is_sso_user = false

-- name: insert_user
-- The columns without default that GoTrue reads as text must be '' rather than NULL.
insert into auth.users (
    instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
    confirmation_token, recovery_token, email_change_token_new, email_change,
    raw_app_meta_data, raw_user_meta_data, created_at, updated_at
) values (
    '00000000-0000-0000-0000-000000000000', %(user_id)s, 'authenticated', 'authenticated',
    %(email)s, %(password_hash)s, now(),
    '', '', '', '',
    '{"provider": "email", "providers": ["email"]}', %(user_metadata)s, now(), now()
)
on conflict (id) do nothing

-- name: set_password
update auth.users
set encrypted_password = %(password_hash)s, updated_at = now()
where id = %(user_id)s

-- name: demand_password_change
update public.profiles set must_change_password = true where id = %(user_id)s

-- name: insert_identity
insert into auth.identities (
    user_id, provider, provider_id, identity_data, last_sign_in_at, created_at, updated_at
) values (
    %(user_id)s, 'email', %(user_id)s::text,
    jsonb_build_object('sub', %(user_id)s::text, 'email', %(email)s::text,
                       'email_verified', true, 'phone_verified', false),
    now(), now(), now()
)
on conflict (provider_id, provider) do nothing

-- name: insert_profile
insert into public.profiles (id, role_key, email, must_change_password)
values (%(user_id)s, 'owner', %(email)s, %(must_change_password)s)
on conflict (id) do nothing
