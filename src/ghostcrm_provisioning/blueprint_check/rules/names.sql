-- rule: object_in_foreign_schema
-- severity: warning
-- meaning: The blueprint makes something in a schema that belongs to Supabase or to PostgreSQL's extensions.
-- fix: Make it in public, or in private when nobody calls it from outside.
select made.catalog, made.id, made.object,
       format('%%s is made in the schema %%I, which is not the blueprint''s', made.object, made.nspname) as sentence
from (
    select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object, n.nspname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select 'pg_proc', f.oid, f.oid::regprocedure::text, n.nspname
    from pg_proc f join pg_namespace n on n.oid = f.pronamespace
) made
where made.id > %(newest_of_platform)s::bigint::oid and made.nspname = any(%(foreign_schemas)s)
  and made.nspname !~ '^pg_(toast|temp)'
  and not exists (select from pg_depend d
                  where d.classid = ('pg_catalog.' || made.catalog)::regclass and d.objid = made.id
                    and d.deptype = 'e')

-- rule: schema_of_supabase
-- severity: error
-- meaning: The blueprint makes a schema that has the name of one of Supabase's: there it could not be made.
-- fix: Choose another name.
select 'pg_namespace' as catalog, n.oid as id, n.nspname::text as object,
       format('the schema %%I is one of Supabase''s', n.nspname) as sentence
from pg_namespace n
where n.oid > %(newest_of_platform)s::bigint::oid and n.nspname = any(%(foreign_schemas)s)

-- rule: name_of_supabase
-- severity: warning
-- meaning: A table or view is named as one of Supabase's own: an unqualified name means one or the other.
-- fix: Choose another name, such as profiles for the people of auth.users.
with theirs(schema, names) as (
    values
        ('auth', array['users', 'identities', 'sessions', 'refresh_tokens', 'instances', 'audit_log_entries',
                       'schema_migrations', 'mfa_factors', 'mfa_challenges', 'mfa_amr_claims', 'sso_providers',
                       'sso_domains', 'saml_providers', 'saml_relay_states', 'flow_state', 'one_time_tokens',
                       'oauth_clients', 'oauth_authorizations', 'oauth_consents']),
        ('storage', array['buckets', 'objects', 'migrations', 's3_multipart_uploads', 's3_multipart_uploads_parts',
                          'buckets_analytics', 'prefixes']),
        ('realtime', array['messages', 'subscription', 'schema_migrations']),
        ('vault', array['secrets', 'decrypted_secrets']),
        ('supabase_functions', array['hooks', 'migrations'])
)
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('%%s has the name of Supabase''s %%I.%%I', c.oid::regclass, t.schema, c.relname) as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace join theirs t on c.relname = any(t.names)
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname <> all(%(foreign_schemas)s)

-- rule: name_of_builtin
-- severity: warning
-- meaning: A function has name and arguments of one of PostgreSQL's own, which is the one that gets called.
-- fix: Choose another name.
select 'pg_proc' as catalog, f.oid as id, f.oid::regprocedure::text as object,
       format('function %%s has the name of PostgreSQL''s own, which is called instead', f.oid::regprocedure)
           as sentence
from pg_proc f join pg_namespace n on n.oid = f.pronamespace
     join pg_proc b on b.proname = f.proname and b.proargtypes = f.proargtypes
where n.nspname <> all(%(foreign_schemas)s) and b.pronamespace = 'pg_catalog'::regnamespace
  and not exists (select from pg_depend d
                  where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e')

-- rule: name_needs_quotes
-- severity: note
-- meaning: A name must be written in quotes for ever: it has capitals, blanks or signs, or is a reserved word.
-- fix: snake_case in small letters.
select 'pg_class' as catalog, c.oid as id, c.oid::regclass::text as object,
       format('%%s must be written in quotes wherever it is named', c.oid::regclass) as sentence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname <> all(%(foreign_schemas)s)
  and quote_ident(c.relname) <> c.relname
