-- What Supabase does not bring and we need, part 1. All of it is made by the project's owner, who is the
-- one login there: what is Supabase's own is left alone.
--
-- The schema that no API exposes. On plain PostgreSQL it belongs to supabase_admin, so that the Supabase
-- CLI's `db reset` leaves it alone; here nobody can give it to that role.

do $$
begin
    if to_regnamespace('private') is null then
        create schema private;
        comment on schema private is
            'Functions behind policies and triggers. Never exposed by an API.';
    end if;
end
$$;

-- Who else may use what is in it is the blueprint's decision.
revoke all on schema private from public, anon;
