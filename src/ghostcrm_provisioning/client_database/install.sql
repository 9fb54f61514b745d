-- name: has_platform
-- On Supabase the platform is there from the start; on plain PostgreSQL we bring it.
select to_regclass('auth.users') is not null as holds

-- name: observe_installation
-- Whose database this is and what is installed in it; an error where nothing of ours is.
select database_id, blueprint, blueprint_fingerprint,
       array(select version from supabase_migrations.schema_migrations) as versions
from ghostcrm_provisioning.stamp

-- name: stamp_database
update ghostcrm_provisioning.stamp
set database_id = %(database_id)s, stamped_at = now()
where database_id is distinct from %(database_id)s

-- name: stamp_blueprint
update ghostcrm_provisioning.stamp
set blueprint = %(blueprint)s, blueprint_fingerprint = %(fingerprint)s, stamped_at = now()

-- name: create_history
-- Where the Supabase CLI reads and writes which migrations were applied.
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text primary key,
    statements text[],
    name text
)

-- name: who_am_i
select current_user::text as role

-- name: keeps_history
select exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'supabase_migrations' and c.relname = 'schema_migrations'
) as holds

-- name: applied_versions
select version from supabase_migrations.schema_migrations

-- name: record_migration
insert into supabase_migrations.schema_migrations (version, statements, name)
values (%(version)s, %(statements)s, %(name)s)
