"""Clients that are ready, and ways in which somebody breaks their isolation afterwards."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg

from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.clients.verdict import StoredVerdict, list_verdicts
from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import Server
from tests.integration.control import register

# Each with what mends it.
BREAKS = {
    "a table is granted to anon": (
        "grant select on public.things to anon",
        "revoke select on public.things from anon",
    ),
    "row level security is off": (
        "alter table public.things disable row level security",
        "alter table public.things enable row level security",
    ),
}


async def ready_client(installation: Installation, name: str = "ACME Corp") -> Client:
    """A client that was provisioned here and now."""
    registered = await register(installation, name)
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    client = await now(installation, registered.client_id)
    assert client.is_open
    return client


async def now(installation: Installation, client_id: UUID) -> Client:
    """The client as the control database knows it at this moment."""
    async with installation.control.connection() as connection:
        return await find_client(connection, client_id)


async def verdicts_on(installation: Installation, client: Client) -> list[StoredVerdict]:
    async with installation.control.connection() as connection:
        return await list_verdicts(connection, client.id, limit=100)


def as_superuser(server: Server, database: str, *statements: str) -> None:
    with server.superuser(database) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def url_of(installation: Installation, client: Client, role: str = "app") -> str:
    connection = await connect_to(installation, client.id, role=role, requested_by="test")
    return connection.database_url


async def is_let_in(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        connection = await psycopg.AsyncConnection.connect(url)
        await connection.close()
        return True
    return False


async def audited(installation: Installation, client: Client) -> list[str]:
    """What the audit log says of a client's isolation, in its order."""
    rows = await installation.control.fetch_all(
        "select action from audit_log where client_id = %(id)s and action ~ 'verif|quaran|releas'"
        " order by id",
        id=client.id,
    )
    return [row["action"] for row in rows]


async def long_untouched(installation: Installation, *clients: Client) -> None:
    """As if they had been proven days ago: the first of them the longest."""
    for age, client in enumerate(clients):
        await installation.control.execute(
            "update clients set ready_at = clock_timestamp() - make_interval(days => 30 - %(age)s)"
            " where id = %(id)s",
            age=age,
            id=client.id,
        )


async def jobs(installation: Installation) -> list[UUID]:
    """The clients whose isolation a worker is to look after."""
    rows = await installation.control.fetch_all(
        "select payload from ghostcrm_queue.jobs where entrypoint = 'verifications' order by id"
    )
    return [UUID(bytes=bytes(row["payload"])) for row in rows]


async def rounds(installation: Installation) -> list[dict[str, Any]]:
    return await installation.control.fetch_all("select * from verification_rounds")
