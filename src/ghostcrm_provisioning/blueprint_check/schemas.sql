-- name: exposed_schemas
-- What an API can reach: public, and every schema of the blueprint that anon may use.
select n.nspname::text as name
from pg_namespace n
where n.nspname = 'public'
   or (n.nspname <> all(%(foreign_schemas)s) and n.nspname !~ '^pg_'
       and has_schema_privilege('anon', n.oid, 'usage'))
