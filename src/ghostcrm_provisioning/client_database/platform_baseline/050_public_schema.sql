-- The schema that the API exposes: used by many, created in by one.

revoke all on schema public from public;
grant usage on schema public to anon, authenticated, service_role;
grant usage, create on schema public to ghostcrm_client_owner with grant option;

-- What the owner makes is closed until a GRANT says otherwise: PostgreSQL would let PUBLIC execute
-- every new function.
set role ghostcrm_client_owner;
alter default privileges revoke execute on functions from public;
reset role;
