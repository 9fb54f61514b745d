"""Environment variables with which Supabase's programs run on a client database.

Supabase Auth (GoTrue) as the login ``auth``, PostgREST as the login ``api``, an application as the
others. How to reach the database and what its secrets are is given; what those programs need to
know besides is said here, and nowhere else. Values that only the operator knows have a placeholder
(:data:`PLACEHOLDERS`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ghostcrm_provisioning.client_database.roles import API, APPLICATION, AUTH, login_role

# What an operator has to replace: where people reach the application, and GoTrue.
PLACEHOLDERS = ("GOTRUE_SITE_URL", "API_EXTERNAL_URL")

_POOL_SHARE = 0.4  # of what the login may open: two processes, at a change-over, and some to spare


def settings_of(
    role: str,
    *,
    urls: Mapping[str, str],
    jwt_secret: str,
    anon_key: str,
    service_role_key: str,
) -> dict[str, str]:
    """The variables for those who connect as ``role``.

    Args:
        urls: how each login that is needed connects: that of the role, and for app also api.
    """
    if role == AUTH:
        return _gotrue(urls[AUTH], jwt_secret)
    if role == API:
        return _postgrest(urls[API], jwt_secret)
    settings = {"DATABASE_URL": urls[role]}
    if role == APPLICATION:
        settings["SUPABASE_ANON_KEY"] = anon_key
        settings |= _postgrest(urls[API], jwt_secret)
    elif role == "service":
        settings["SUPABASE_SERVICE_ROLE_KEY"] = service_role_key
    return settings


def settings_at_supabase(
    role: str, *, url: str, supabase_url: str, anon_key: str, service_role_key: str
) -> dict[str, str]:
    """The same where Supabase runs Auth and PostgREST itself."""
    settings = {"DATABASE_URL": url, "SUPABASE_URL": supabase_url}
    if role == APPLICATION:
        settings["SUPABASE_ANON_KEY"] = anon_key
    else:
        settings["SUPABASE_SERVICE_ROLE_KEY"] = service_role_key
    return settings


def as_env_file(settings: Mapping[str, str]) -> str:
    """One ``NAME=value`` a line, as ``set -a; . FILE`` reads it. Values that are plain words, and ours
    are, stand without quotes, which ``docker run --env-file`` would take for a part of them."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())


def _gotrue(url: str, jwt_secret: str) -> dict[str, str]:
    return {
        # Its statements name no schema: the login's search_path leads to `auth`.
        "GOTRUE_DB_DRIVER": "postgres",
        "GOTRUE_DB_DATABASE_URL": url,
        "GOTRUE_DB_MAX_POOL_SIZE": str(_pool_size(AUTH)),
        "GOTRUE_JWT_SECRET": jwt_secret,
        "GOTRUE_JWT_EXP": "3600",
        "GOTRUE_JWT_AUD": "authenticated",
        # The database role of a signed-in user's token, and whose token may use the admin API.
        "GOTRUE_JWT_DEFAULT_GROUP_NAME": "authenticated",
        "GOTRUE_JWT_ADMIN_ROLES": "service_role",
        # A CRM's users are invited; whoever signed up by himself would see nothing anyway.
        "GOTRUE_DISABLE_SIGNUP": "true",
        "GOTRUE_API_PORT": "9999",
        "API_EXTERNAL_URL": "http://localhost:9999",
        "GOTRUE_SITE_URL": "http://localhost:3000",
    }


def _postgrest(url: str, jwt_secret: str) -> dict[str, str]:
    return {
        "PGRST_DB_URI": url,
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_JWT_SECRET": jwt_secret,
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_DB_POOL": str(_pool_size(API)),
        # Otherwise it takes settings from the roles, which all clients of a server share, and of
        # which any client's session could change the settings.
        "PGRST_DB_CONFIG": "false",
    }


def _pool_size(key: str) -> int:
    return int(login_role(key).connection_limit * _POOL_SHARE)
