-- The client schema template: what every client database starts with. Its files are applied in name
-- order as one migration, by the role that will own all of it (on Supabase: postgres).
--
-- House rules, kept by every file here:
--   * one table per file: table, comments, constraints, indexes, triggers, row level security,
--     policies and grants on one screen; snake_case plurals; <entity>_id, is_*, *_at (an instant),
--     *_on (a date), *_minor (money in the currency's smallest unit, never a float)
--   * text with a named CHECK instead of an enum, for what code knows; a table for what users edit
--   * what users search by equality or prefix has a generated, normalised column: under row level
--     security an index serves leakproof conditions only, and lower(), ILIKE and citext are not
--   * every foreign key is named, indexed, and has an ON DELETE that somebody thought about; people
--     are deactivated, never deleted, so nothing cascades from them
--   * one permissive policy for each table and operation, for `authenticated` only, with helpers
--     called as (select …): once per query, not once per row
--   * every table is audited (`select private.keep_audit('public.…');`), or a test says why not
--   * sums and counts are computed by triggers and never taken from whoever writes, whatever their role
--   * what takes away rows without asking them (TRUNCATE) keeps the same rules as what asks
--   * every file revokes first and grants by name afterwards, whatever the server's defaults are;
--     columns that only a function may write are left out of the column grants

-- On plain PostgreSQL the platform baseline has made it (and its owner keeps it safe from the
-- Supabase CLI's `db reset`); on Supabase we make it.
do $$
begin
    if to_regnamespace('private') is null then
        create schema private;
        comment on schema private is
            'Functions behind policies and triggers. Never exposed by an API.';
    end if;
end
$$;

-- Trigrams, for search. The owner's own: the Supabase CLI's `db reset` drops extensions and would be
-- refused at one that is not.
create extension if not exists pg_trgm with schema extensions;

revoke all on schema private from public, anon;
grant usage on schema private to authenticated, service_role;

-- Nothing that the owner makes from now on is open by default. Older Supabase projects would give
-- new tables to anon and authenticated, and PostgreSQL gives EXECUTE on functions to everyone.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public
    revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public
    revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public
    revoke all on functions from anon, authenticated, service_role;
