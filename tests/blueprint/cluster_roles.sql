-- The cluster-wide roles that platform baseline and blueprint stand on, for a server of the tests'
-- own. The product makes these elsewhere; here a superuser does, once per server.

create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_auth_admin login noinherit;
create role supabase_admin nologin;
create role ghostcrm_client_owner nologin;
create role blueprint_admin login createdb createrole;
create role blueprint_app login noinherit;

grant anon, authenticated, service_role to authenticator;
grant authenticated to blueprint_app;
