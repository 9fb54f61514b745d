-- Where the Supabase CLI reads and writes the history of migrations. The schema is supabase_admin's
-- so that the CLI's `migration down` and `db reset` leave it alone; the table belongs to the owner of
-- the client's schema, so that the CLI and our own installer, which both speak as that role, keep
-- one history.

create schema supabase_migrations authorization supabase_admin;

set role supabase_admin;
comment on schema supabase_migrations is 'History of the migrations applied to this database.';
grant usage, create on schema supabase_migrations to ghostcrm_client_owner;
reset role;

set role ghostcrm_client_owner;

create table supabase_migrations.schema_migrations (
    version text not null,
    statements text[],
    name text,

    constraint schema_migrations_pkey primary key (version)
);

comment on table supabase_migrations.schema_migrations is
    'One row for each applied migration: version (its number), name, and the SQL that ran.';

revoke all on table supabase_migrations.schema_migrations
    from public, anon, authenticated, service_role;

reset role;
