-- The cluster-wide roles that platform baseline and blueprint stand on, for a server of the tests'
-- own. The product makes these elsewhere; here a superuser does, once per server, and leaves alone
-- what is there already.

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (
            values
                ('anon', 'nologin noinherit'),
                ('authenticated', 'nologin noinherit'),
                ('service_role', 'nologin noinherit bypassrls'),
                ('supabase_auth_admin', 'login noinherit'),
                ('supabase_admin', 'nologin'),
                ('ghostcrm_client_owner', 'nologin'),
                -- As the product connects: may make databases and roles, is not a superuser.
                ('blueprint_admin', 'login createdb createrole')
        ) as role (name, attributes)
        where not exists (select from pg_roles r where r.rolname = role.name)
    loop
        execute format('create role %I %s', wanted.name, wanted.attributes);
    end loop;
end
$$;
