-- name: insert_token
insert into admin_tokens (id, name, prefix, secret_digest, scopes, created_by, expires_at)
values (%(id)s, %(name)s, %(prefix)s, %(secret_digest)s, %(scopes)s, %(created_by)s, %(expires_at)s)
on conflict do nothing
returning id

-- name: find_token
select id, name, prefix, secret_digest, scopes, created_by, created_at, expires_at, last_used_at, revoked_at,
       revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) as is_valid,
       last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute' as use_is_news
from admin_tokens
where prefix = %(prefix)s

-- name: is_valid
select exists (
    select from admin_tokens
    where id = %(id)s and revoked_at is null and (expires_at is null or expires_at > clock_timestamp())
) as is_valid

-- name: record_use
update admin_tokens set last_used_at = clock_timestamp()
where id = %(id)s and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')

-- name: list_tokens
select id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by,
       revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) as is_valid
from admin_tokens
order by created_at desc, id desc

-- name: find_by_text
-- By id, prefix or name; what was revoked is not looked for.
select id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at, revoked_at,
       expires_at is null or expires_at > clock_timestamp() as is_valid
from admin_tokens
where revoked_at is null
  and (id::text = lower(%(text)s) or prefix = lower(%(text)s) or lower(name) = lower(%(text)s))

-- name: revoke_token
update admin_tokens set revoked_at = clock_timestamp(), revoked_by = %(revoked_by)s
where id = %(id)s and revoked_at is null
returning id, name
