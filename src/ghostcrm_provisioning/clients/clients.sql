-- name: lock_limited_servers
-- Registrations take turns at servers that have a limit, so that none is overfilled.
select from servers where accepting and client_limit is not null order by id for no key update

-- name: place
-- The server that takes the next client database: accepting, with room, the emptiest first.
select s.id, s.name
from servers s
left join lateral (
    select count(*) as clients from client_databases d where d.server_id = s.id and d.status <> 'absent'
) used on true
where s.accepting
  and s.provider = %(provider)s
  and (%(server_id)s::uuid is null or s.id = %(server_id)s)
  and (s.client_limit is null or used.clients < s.client_limit)
order by used.clients, s.created_at
limit 1

-- name: insert_client
-- Nothing is returned when the same client, or the same key, is there already.
insert into clients (id, name, plan, wanted_plan, blueprint, idempotency_key, registration_digest,
                     registered_by)
values (%(id)s, %(name)s, %(plan)s, %(plan)s, %(blueprint)s, %(idempotency_key)s,
        %(registration_digest)s, %(registered_by)s)
on conflict do nothing
returning id

-- name: find_registered
-- The client that stands in the way of a registration.
select id, registration_digest, registered_by, wanted_status = 'deleted' as is_deleted
from clients
where id = %(id)s or idempotency_key = %(idempotency_key)s
order by (id = %(id)s) desc
limit 1

-- name: insert_admin
insert into client_admins (client_id, user_id, email, must_change_password, password_hash_sealed)
values (%(client_id)s, %(user_id)s, %(email)s, %(must_change_password)s, %(password_hash_sealed)s)

-- name: insert_database
insert into client_databases (id, client_id, server_id, name, region, credentials_sealed)
values (%(id)s, %(client_id)s, %(server_id)s, %(name)s, %(region)s, %(credentials_sealed)s)

-- name: find_client
select c.id, c.name, c.plan, c.wanted_plan, c.blueprint, c.status::text, c.wanted_status::text, c.created_at,
       c.ready_at, c.updated_at,
       a.user_id as admin_user_id, a.email as admin_email,
       a.must_change_password as admin_must_change_password,
       d.id as database_id, d.name as database_name, d.status::text as database_status,
       d.blueprint_fingerprint, d.handed_over_at,
       s.id as server_id, s.name as server_name, s.provider, coalesce(d.region, s.region) as region,
       c.quarantined_at, v.began_at as verified_at, v.holds as isolation_holds, c.suspended_at, c.deleted_at,
       d.absence, p.ref as project_ref, p.status as project_status
from clients c
join client_admins a on a.client_id = c.id
join client_databases d on d.client_id = c.id
join servers s on s.id = d.server_id
left join supabase_projects p on p.database_id = d.id
left join lateral (
    select began_at, holds from isolation_verdicts where client_id = c.id order by id desc limit 1
) v on true
where c.id = %(client_id)s

-- name: lock_client
-- Whoever asks for something to be done for a client takes turns with others who do.
select from clients where id = %(client_id)s for no key update

-- name: find_secrets
-- What is sealed for a client. Read only by what is about to use it.
select a.password_hash_sealed, d.credentials_sealed, s.connection_sealed
from client_admins a
join client_databases d on d.client_id = a.client_id
join servers s on s.id = d.server_id
where a.client_id = %(client_id)s

-- name: lock_credentials
-- Whoever is about to change them, comes alone.
select from client_databases where id = %(database_id)s for no key update

-- name: hold_credentials
-- Whoever sets in a database what is sealed here, sees to it that it is not replaced meanwhile.
select from client_databases where id = %(database_id)s for share

-- name: replace_credentials
update client_databases set credentials_sealed = %(credentials_sealed)s where id = %(database_id)s

-- name: ids_by_prefix
-- At most two, so that the caller can tell "one" from "several".
select id from clients where id::text like %(prefix)s || '%%' order by id limit 2

-- name: mark_provisioning
-- What is done for a client that is ready leaves it ready.
update clients c set status = 'provisioning', updated_at = clock_timestamp()
from runs r
where r.id = %(run_id)s and r.kind = 'provision_client' and r.status in ('queued', 'running')
  and c.id = r.client_id and c.status in ('registered', 'failed')

-- name: mark_failed
-- Only the failure of the run that brings a client into being is the client's own.
update clients c set status = 'failed', updated_at = clock_timestamp()
from runs r
where r.id = %(run_id)s and r.kind = 'provision_client' and c.id = r.client_id

-- name: mark_database_present
-- What was seen in the database itself.
update client_databases
set status = case status when 'planned' then 'present' else status end,
    blueprint_fingerprint = %(fingerprint)s, observed_at = clock_timestamp()
where id = %(database_id)s

-- name: mark_handed_over
update client_databases
set status = 'handed_over', handed_over_at = coalesce(handed_over_at, clock_timestamp())
where id = %(database_id)s

-- name: mark_ready
update clients
set status = 'ready', ready_at = coalesce(ready_at, clock_timestamp()),
    updated_at = clock_timestamp()
where id = %(client_id)s

-- name: erase_password_hash
update client_admins set password_hash_sealed = null where client_id = %(client_id)s

-- name: is_handed_over
select d.status = 'handed_over' and a.password_hash_sealed is null as holds
from client_databases d
join client_admins a on a.client_id = d.client_id
where d.client_id = %(client_id)s

-- name: find_home_server
select id, name from servers where name = %(name)s

-- name: insert_home_server
insert into servers (name, provider) values (%(name)s, 'postgres') on conflict do nothing

-- name: find_organization
select id from servers
where provider = 'supabase' and organization_slug = %(organization_slug)s and api_url = %(api_url)s

-- name: insert_organization
insert into servers (name, provider, organization_slug, api_url)
values (%(name)s, 'supabase', %(organization_slug)s, %(api_url)s) on conflict do nothing

-- name: insert_place_of_given
-- Databases that were there already.
insert into servers (name, provider) values ('existing', 'existing') on conflict do nothing

-- name: find_server
select id, name, provider, organization_slug, api_url from servers where id = %(server_id)s

-- name: who_may_connect_here
-- Whether every login of the server may enter the control database; they can read nothing there.
select current_database() as database, exists (
    select from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    where d.datname = current_database() and a.grantee = 0 and a.privilege_type = 'CONNECT'
) as everyone

-- name: list_servers
select s.id, s.name, s.provider, s.region, s.client_limit, s.accepting,
       (select count(*) from client_databases d where d.server_id = s.id and d.status <> 'absent') as clients
from servers s
order by s.name
