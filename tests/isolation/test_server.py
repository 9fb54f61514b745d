"""What a whole server keeps of a client database's logins is compared with what we made: no policy, grant or
function inside says it, and any of it would undo what they say.
"""

from __future__ import annotations

import pytest
from psycopg import sql

from ghostcrm_provisioning.client_database.isolation.proof import find_server_exposures
from ghostcrm_provisioning.client_database.isolation.server import MadeLogin
from ghostcrm_provisioning.client_database.roles import LOGIN_ROLES
from tests.isolation.conftest import Connection, undone

# {app} and the like are this database's own logins; {other} is a neighbour's. Each with a word of what is said.
_WEAKENED = (
    ("alter role {app} set request.jwt.claims = '{{}}'", "request.jwt.claims"),
    ("alter role {app} in database {database} set request.jwt.claim.sub = 'x'", "claim.sub"),
    ("alter database {database} set request.jwt.claims = '{{}}'", "everyone begin"),
    ("alter role all in database {database} set role = 'postgres'", "role=postgres"),
    ("alter role {api} set role = 'service_role'", "role=service_role"),
    ("alter role {api} set pgrst.jwt_secret = 'known-to-somebody'", "pgrst.jwt_secret"),
    ("alter role {api} set pgrst.db_anon_role = 'service_role'", "pgrst.db_anon_role"),
    ("alter role {app} set session_replication_role = replica", "session_replication_role"),
    ("alter role {app} replication", "replicate"),
    ("alter role {app} createdb", "create databases"),
    ("grant pg_read_all_data to {api}", "pg_read_all_data"),
    ("grant ghostcrm_client_owner to {auth}", "ghostcrm_client_owner"),
    ("grant pg_read_server_files to ghostcrm_client_owner", "pg_read_server_files"),
    ("grant service_role to supabase_auth_admin", "service_role"),
    ("grant {owner} to {app}", "_owner"),
    ("alter role {api} inherit; grant service_role to {api}", "without taking them on"),
    ("grant {app} to {other}", "enter as that login may"),
    ("grant temporary on database {database} to public", "temporary tables"),
    ("grant temporary on database {database} to {app}", "temporary tables"),
    ("grant create on database {database} to authenticated", "make schemas"),
    ("alter database {database} owner to {app}", "belongs to the login"),
    ("grant usage on schema ghostcrm_provisioning to {service}", "ghostcrm_provisioning"),
    ("grant set on parameter session_replication_role to authenticated", "session_replication"),
    ("grant select on public.contacts to {app}", "by itself"),
    ("grant select (email) on auth.users to {api}", "by itself"),
    ("grant execute on function private.plan_usage() to {app}", "by itself"),
    ("grant select on pg_catalog.pg_authid to authenticated", "pg_authid"),
    ("grant execute on function pg_catalog.pg_read_file(text) to public", "pg_read_file"),
    (
        "create function pg_catalog.leak() returns setof public.contacts language sql security definer"
        " as 'select * from public.contacts'",
        "put into pg_catalog",
    ),
    ("alter function private.like_anywhere(text) leakproof", "leakproof"),
)

_HARMLESS = (
    "alter role {app} set statement_timeout = '5s'",
    "alter role {app} set search_path = 'public'",
    "alter role {owner} set role = 'ghostcrm_client_owner'",
    "alter role {api} set pgrst.db_max_rows = '500'",
    "alter role {api} set pgrst.db_anon_role = 'anon'",
    "alter database {database} set timezone = 'UTC'",
    "alter role {other} set request.jwt.claims = '{{}}'",
    "grant service_role to {service}",
    "grant service_role to {api}",
)


@pytest.fixture
async def made(breaking: Connection, proven_database: str) -> list[MadeLogin]:
    """The logins, as a provider describes them; they go with the transaction."""
    logins = [
        MadeLogin(
            f"{proven_database}_{role.key}",
            role.member_of,
            acts_as=role.acts_as,
            inherits=role.inherits,
            creates=role.creates,
            temporary=role.temporary,
        )
        for role in LOGIN_ROLES
    ]
    for name in (*(login.name for login in logins), f"{proven_database}_other"):
        await breaking.execute(sql.SQL("create role {} noinherit").format(sql.Identifier(name)))
    return logins


def _named(statement: str, database: str) -> str:
    names = {role.key: f'"{database}_{role.key}"' for role in LOGIN_ROLES}
    return statement.format(database=f'"{database}"', other=f'"{database}_other"', **names)


async def test_whatever_a_server_keeps_that_weakens_a_database_is_found(
    breaking: Connection, proven_database: str, made: list[MadeLogin]
) -> None:
    assert await find_server_exposures(breaking, made) == []
    for statement, said in _WEAKENED:
        async with undone(breaking):
            await breaking.execute(_named(statement, proven_database).encode())
            found = [each.sentence for each in await find_server_exposures(breaking, made)]
        assert any(said in sentence for sentence in found), (statement, found)
        assert not any("known-to-somebody" in sentence for sentence in found)


async def test_what_an_operator_sets_for_good_reasons_is_not(
    breaking: Connection, proven_database: str, made: list[MadeLogin]
) -> None:
    for statement in _HARMLESS:
        await breaking.execute(_named(statement, proven_database).encode())
    assert await find_server_exposures(breaking, made) == []
