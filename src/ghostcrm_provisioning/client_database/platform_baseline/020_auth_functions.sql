-- Who is asking? The answer comes from the verified token that PostgREST (or an application that
-- speaks as it does) has put into the session: one setting for each claim in old versions, one JSON
-- document of all claims in new ones. Owned by supabase_auth_admin, whose migrations replace them.
-- As in those, no setting is attached to them, so that a query takes them in as if they had been
-- written there: a call would cost some ten times what they do. Every name in them says its schema.

set role supabase_auth_admin;

create function auth.uid() returns uuid
language sql stable
as $$
    select coalesce(
        nullif(pg_catalog.current_setting('request.jwt.claim.sub', true), ''),
        nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.jsonb operator(pg_catalog.->>) 'sub'
    )::pg_catalog.uuid
$$;

create function auth.role() returns text
language sql stable
as $$
    select coalesce(
        nullif(pg_catalog.current_setting('request.jwt.claim.role', true), ''),
        nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.jsonb operator(pg_catalog.->>) 'role'
    )
$$;

create function auth.email() returns text
language sql stable
as $$
    select coalesce(
        nullif(pg_catalog.current_setting('request.jwt.claim.email', true), ''),
        nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.jsonb operator(pg_catalog.->>) 'email'
    )
$$;

create function auth.jwt() returns jsonb
language sql stable
as $$
    select coalesce(
        nullif(pg_catalog.current_setting('request.jwt.claim', true), ''),
        nullif(pg_catalog.current_setting('request.jwt.claims', true), '')
    )::pg_catalog.jsonb
$$;

comment on function auth.uid() is 'Id of the signed-in user (claim sub), or null.';
comment on function auth.role() is
    'Role claim of the token: anon, authenticated or service_role; or null.';
comment on function auth.email() is 'Email claim of the token, or null.';
comment on function auth.jwt() is 'All claims of the token, or null.';

-- Default privileges differ between servers; say it.
grant execute on function auth.uid(), auth.role(), auth.email(), auth.jwt()
    to ghostcrm_client_owner, anon, authenticated, service_role;

reset role;
