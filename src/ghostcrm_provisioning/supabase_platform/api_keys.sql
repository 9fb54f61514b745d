-- name: list_api_keys
select * from api_keys where project_id = %(project_id)s order by type, inserted_at, name

-- name: find_api_key
select * from api_keys where project_id = %(project_id)s and id = %(id)s

-- name: find_by_digest
select type, secret_jwt_template from api_keys where project_id = %(project_id)s and digest = %(digest)s

-- name: insert_api_key
insert into api_keys (id, project_id, type, name, description, secret_jwt_template, prefix, digest, sealed_key)
values (%(id)s, %(project_id)s, %(type)s, %(name)s, %(description)s, %(template)s, %(prefix)s, %(digest)s,
        %(sealed_key)s)
on conflict on constraint api_keys_name_key do nothing
returning *

-- name: change_api_key
update api_keys
set name = coalesce(%(name)s, name),
    description = case when %(sets_description)s then %(description)s else description end,
    secret_jwt_template = coalesce(%(template)s, secret_jwt_template),
    updated_at = now()
where project_id = %(project_id)s and id = %(id)s
returning *

-- name: delete_api_key
delete from api_keys where project_id = %(project_id)s and id = %(id)s
returning *

-- name: delete_keys_of_project
delete from api_keys where project_id = %(project_id)s
