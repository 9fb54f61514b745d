-- name: list_buckets
select id, name, coalesce(owner_id, owner::text, '') as owner, public, file_size_limit, allowed_mime_types,
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at,
       to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as updated_at
from storage.buckets
where %(id)s::text is null or id = %(id)s
order by name

-- name: insert_bucket
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types, owner_id)
values (%(id)s, %(name)s, %(public)s, %(file_size_limit)s, %(allowed_mime_types)s, %(owner_id)s)
on conflict (id) do nothing

-- name: change_bucket
update storage.buckets
set public = coalesce(%(public)s, public),
    file_size_limit = case when %(sets_limit)s then %(file_size_limit)s else file_size_limit end,
    allowed_mime_types = case when %(sets_types)s then %(allowed_mime_types)s else allowed_mime_types end,
    updated_at = now()
where id = %(id)s

-- name: delete_bucket
delete from storage.buckets where id = %(id)s

-- name: list_files
with below as (
    select *, substr(name, length(%(folder)s) + 1) as rest
    from storage.objects
    where bucket_id = %(bucket)s and starts_with(name, %(folder)s)
),
entries as (
    select rest as name, id, metadata, created_at, updated_at, last_accessed_at
    from below where position('/' in rest) = 0
    union all
    select distinct split_part(rest, '/', 1), null::uuid, null::jsonb,
           null::timestamptz, null::timestamptz, null::timestamptz
    from below where position('/' in rest) > 0
)
select name, id::text, metadata,
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at,
       to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as updated_at,
       to_char(last_accessed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as last_accessed_at
from entries
order by name
limit %(limit)s offset %(offset)s
