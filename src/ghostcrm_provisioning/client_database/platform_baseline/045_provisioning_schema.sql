-- Where this program writes whose database it is and what was installed in it (stamp.sql). No role of
-- the client can enter it. It belongs to supabase_admin so that the Supabase CLI's `migration down`
-- and `db reset` leave it alone.

create schema ghostcrm_provisioning authorization supabase_admin;

set role supabase_admin;
comment on schema ghostcrm_provisioning is 'Whose database this is; kept by GhostCRM provisioning.';
grant usage, create on schema ghostcrm_provisioning to session_user;
reset role;
