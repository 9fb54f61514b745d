-- What is done while the access matrix is tried: how "me" gets a role, and the calls of matrix.toml.
-- In a call, %(id)s is the id of the row that it is tried on.

-- name: become_role
update public.profiles set role_key = %(role)s, is_active = true where id = md5('person me')::uuid

-- name: delete_company
select public.delete_record('companies', %(id)s)

-- name: delete_contact
select public.delete_record('contacts', %(id)s)

-- name: delete_deal
select public.delete_record('deals', %(id)s)

-- name: delete_file
select public.delete_record('files', %(id)s)

-- name: merge_contact
select public.merge_contacts(md5('contacts unassigned')::uuid, %(id)s)

-- name: restore_contact
select public.restore_record('contacts', %(id)s)

-- name: claim_contact
select public.assign_record('contacts', %(id)s, md5('person me')::uuid)

-- name: hand_over_deal
select public.assign_record('deals', %(id)s, md5('person mate')::uuid)

-- name: make_viewer
select public.set_profile_role(%(id)s, 'viewer')

-- name: make_owner
select public.set_profile_role(%(id)s, 'owner')

-- name: deactivate_profile
select public.set_profile_active(%(id)s, false)

-- name: issue_invoice
select public.issue_invoice(%(id)s)

-- name: void_invoice
select public.void_invoice(%(id)s)

-- name: reverse_payment
select public.reverse_payment(%(id)s)

-- name: search_contact
select from public.search_contacts('Accessmatrix', 200) where id = %(id)s

-- name: search_company
select from public.search_companies('Access matrix', 200) where id = %(id)s

-- name: search_deal
select from public.search_deals('Access matrix', 200) where id = %(id)s

-- name: erase_custom_field
select public.erase_custom_field(%(id)s)

-- name: plan_usage
select resource from public.plan_usage() where %(id)s::uuid is not null
