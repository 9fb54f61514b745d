-- The schema that the API exposes. What the owner makes in it is closed until a GRANT says otherwise: a
-- project from before 2026 gives new tables, sequences and functions to anon and authenticated, and
-- PostgreSQL lets PUBLIC execute every new function.

alter default privileges revoke execute on functions from public;
alter default privileges in schema public
    revoke all on tables from public, anon, authenticated, service_role;
alter default privileges in schema public
    revoke all on sequences from public, anon, authenticated, service_role;
alter default privileges in schema public
    revoke all on functions from public, anon, authenticated, service_role;
