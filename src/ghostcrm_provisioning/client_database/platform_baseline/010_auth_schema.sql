-- Platform baseline, part 1: what Supabase has in every database before anybody's tables come.
--
-- Applied by our admin login (CREATEDB, CREATEROLE, able to SET ROLE to the roles named here; not a
-- superuser) in the database that it owns. On PostgreSQL 16 and later "able to SET ROLE" does not
-- mean "inherits its privileges", so whatever belongs to another role is made as that role.
-- Roles are made elsewhere: they do not live in a database.

-- The owner is supabase_admin because the Supabase CLI's `migration down` and `db reset` drop every
-- schema that is not a system's or of that role.
create schema auth authorization supabase_admin;
create schema extensions authorization supabase_admin;
create schema private authorization supabase_admin;

set role supabase_admin;

comment on schema auth is
    'Sign-in: users and identities. Supabase Auth (GoTrue) keeps its tables here.';
comment on schema extensions is 'PostgreSQL extensions, away from the schema that the API exposes.';
comment on schema private is 'Functions behind policies and triggers. Never exposed by an API.';

-- GoTrue makes and migrates its own tables here.
grant usage, create on schema auth to supabase_auth_admin;
grant usage on schema auth to ghostcrm_client_owner, anon, authenticated, service_role;
grant usage, create on schema extensions to ghostcrm_client_owner;
grant usage on schema extensions to anon, authenticated, service_role, supabase_auth_admin;
-- Who may use the functions in `private` is the blueprint's decision; making them is the owner's.
grant usage, create on schema private to ghostcrm_client_owner with grant option;

reset role;
