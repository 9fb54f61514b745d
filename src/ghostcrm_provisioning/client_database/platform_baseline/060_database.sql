-- What `postgres` may on Supabase: make schemas, and install the extensions that PostgreSQL trusts an
-- owner with. It holds for the database in which the blueprint is built; privileges on a database are
-- not copied with it, so the provider grants this again on every copy.

do $$
begin
    execute format('grant create on database %I to ghostcrm_client_owner', current_database());
end
$$;
