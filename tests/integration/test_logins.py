"""The logins of a client database, and the shared roles that nobody logs in with."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ghostcrm_provisioning.client_database.roles import SHARED_ROLES
from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.registration import on_client_registration
from tests.conftest import OpenInstallation, Server
from tests.integration.waiting import enter

LIMITS = {"service": 10, "auth": 10, "owner": 5}


async def test_the_logins_of_one_client_cannot_use_up_the_servers_connections(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint)
    registration = await on_client_registration(
        company_name="ACME",
        admin_email="a@acme.com",
        plan="starter",
        wait_seconds=60,
        installation=installation,
    )
    for role, limit in LIMITS.items():
        connection = await connect_to(
            installation, registration.client_id, role=role, requested_by="test"
        )
        with ExitStack() as entered:
            for _ in range(limit):
                entered.enter_context(enter(connection.database_url))
            with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
                psycopg.connect(connection.database_url)


@pytest.mark.parametrize("role", [role.name for role in SHARED_ROLES if role.name != "postgres"])
def test_nobody_logs_in_with_a_shared_role(server: Server, role: str) -> None:
    """Not even with a password: on a server of many clients it would open all their databases."""
    password = "somebody has set one"
    with server.superuser() as superuser:
        superuser.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(password))
        )
    try:
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            psycopg.connect(
                connection_url(
                    host=server.running.host,
                    port=str(server.running.port),
                    database="postgres",
                    user=role,
                    password=password,
                )
            )
    finally:
        with server.superuser() as superuser:
            superuser.execute(sql.SQL("alter role {} password null").format(sql.Identifier(role)))
