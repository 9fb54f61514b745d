"""Which roles of a Supabase project are Supabase's own."""

# The roles with which Supabase works in a project, and `postgres`, which is the owner there. Named one by
# one: on a server of our local platform, what begins with `supabase_` may be another project's. Source:
# the migrations of Supabase's own PostgreSQL image (github.com/supabase/postgres, migrations/db). Those that a
# request acts as (REQUEST_ROLES) are not among them: what they may do is what is proven.
PLATFORM_ROLES = (
    "cli_login_postgres",
    "dashboard_user",
    "pgbouncer",
    "pgsodium_keyholder",
    "pgsodium_keyiduser",
    "pgsodium_keymaker",
    "pgtle_admin",
    "postgres",
    "supabase_admin",
    "supabase_auth_admin",
    "supabase_etl_admin",
    "supabase_functions_admin",
    "supabase_privileged_role",
    "supabase_read_only_user",
    "supabase_realtime_admin",
    "supabase_replication_admin",
    "supabase_storage_admin",
    "supabase_superuser",
)
# What a request to a project's API acts as, and the login that begins it.
REQUEST_ROLES = ("anon", "authenticated", "authenticator", "service_role")
