-- name: find_database
select datname from pg_database where datname = %(name)s

-- name: create_history
create table if not exists schema_migrations (
    name text primary key,
    applied_at timestamptz not null default now()
)

-- name: applied_migrations
select name from schema_migrations

-- name: record_migration
insert into schema_migrations (name) values (%(name)s)

-- name: keep_sealing_check
-- The first one is kept; later ones are told what it is.
insert into platform (sealing_check) values (%(sealing_check)s)
on conflict (only_row) do update set only_row = true
returning sealing_check

-- name: server_version
select current_setting('server_version') as version
