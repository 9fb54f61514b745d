-- Where the Supabase CLI reads and writes which migrations were applied; left as it is when it is there.
-- (Asked first: CREATE … IF NOT EXISTS wants the right to create, whatever is there.)

do $$
begin
    if to_regnamespace('supabase_migrations') is null then
        create schema supabase_migrations;
        comment on schema supabase_migrations is
            'History of the migrations applied to this database.';
    end if;
    if to_regclass('supabase_migrations.schema_migrations') is null then
        create table supabase_migrations.schema_migrations (
            version text not null,
            statements text[],
            name text,

            constraint schema_migrations_pkey primary key (version)
        );
        revoke all on table supabase_migrations.schema_migrations
            from public, anon, authenticated, service_role;
    end if;
end
$$;
