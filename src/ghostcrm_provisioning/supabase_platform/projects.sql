-- name: list_organizations
select slug, name from organizations order by created_at, slug

-- name: find_organization
select slug, name from organizations where slug = %(slug)s

-- name: insert_organization
insert into organizations (slug, name) values (%(slug)s, %(name)s)
on conflict (slug) do nothing
returning slug, name

-- name: ensure_first_organization
-- Of several processes that begin at once, one makes it.
insert into organizations (slug, name)
select %(slug)s, %(name)s where not exists (select from organizations)
on conflict (slug) do nothing

-- name: insert_project
insert into projects (id, ref, organization_slug, name, region, instance_size, secrets, stuck_as, shares_name)
values (%(id)s, %(ref)s, %(organization_slug)s, %(name)s, %(region)s, %(instance_size)s, %(secrets)s,
        %(stuck_as)s, %(shares_name)s)
returning *

-- name: find_project
select * from projects where ref = %(ref)s

-- name: list_projects
select * from projects where state <> 'removed' order by created_at, number

-- name: list_projects_of_organization
select * from projects
where organization_slug = %(slug)s and state <> 'removed'
  and (%(search)s::text is null or position(lower(%(search)s) in lower(name)) > 0 or ref = %(search)s)
order by created_at, number

-- name: list_unfinished
-- What a process that ended has left undone.
select * from projects where state in ('creating', 'pausing', 'restoring', 'removing') order by created_at

-- name: change_state
-- Only from a state that allows it; nothing comes back when another one was faster.
update projects
set state = %(state)s, settles_at = %(settles_at)s, stuck_as = coalesce(%(stuck_as)s, stuck_as),
    failure = %(failure)s,
    -- What is gone needs no keys any more.
    secrets = case when %(state)s = 'removed' then ''::bytea else secrets end,
    auth_settings = case when %(state)s = 'removed' then null else auth_settings end,
    removed_at = case when %(state)s = 'removed' then now() end
where id = %(id)s and state = any(%(states)s)
returning *

-- name: rename_project
update projects set name = %(name)s where id = %(id)s

-- name: set_secrets
update projects set secrets = %(secrets)s where id = %(id)s

-- name: set_auth_settings
update projects set auth_settings = %(settings)s where id = %(id)s

-- name: set_postgrest_settings
update projects set postgrest_settings = postgrest_settings || %(settings)s where id = %(id)s
returning postgrest_settings

-- name: set_storage_settings
update projects set storage_settings = storage_settings || %(settings)s where id = %(id)s

-- name: set_network_restrictions
update projects set network_restrictions = %(restrictions)s where id = %(id)s

-- name: set_legacy_keys_enabled
update projects set legacy_keys_enabled = %(enabled)s where id = %(id)s

-- name: release_stuck
-- The fault is taken back: what is true is shown again.
update projects set stuck_as = null where stuck_as = %(state)s
