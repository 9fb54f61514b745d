"""Clients whose lives are tried, on a server of our own and as projects at the local platform."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.explanation import Explanation
from ghostcrm_provisioning.fleet.lifecycle import (
    delete_client,
    explain_as_seen,
    resume_client,
    suspend_client,
)
from ghostcrm_provisioning.registrars.lifecycle import AcceptedLifecycleChange
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import Server
from tests.integration.control import find_run, list_attempts, register

COMPANY = "ACME Corp"


@dataclass(frozen=True)
class Life:
    """A client that is ready, and what is done with it."""

    installation: Installation
    server: Server
    id: UUID
    url: str

    @property
    def is_supabase(self) -> bool:
        return self.installation.settings.provider == "supabase"

    async def client(self) -> Client:
        async with self.installation.control.connection() as connection:
            return await find_client(connection, self.id)

    async def stands(self) -> tuple[str, str]:
        client = await self.client()
        return client.status, client.wanted_status

    async def ask_suspend(self, *, with_export: bool = True) -> AcceptedLifecycleChange:
        return await suspend_client(
            self.installation,
            self.id,
            requested_by="test",
            reason="unpaid",
            with_export=with_export,
        )

    async def ask_resume(self) -> AcceptedLifecycleChange:
        return await resume_client(self.installation, self.id, requested_by="test")

    async def ask_delete(self, *, with_export: bool = True) -> AcceptedLifecycleChange:
        client = await self.client()
        return await delete_client(
            self.installation,
            self.id,
            confirmed_name=client.name,
            requested_by="test",
            with_export=with_export,
        )

    async def carry_out(self, accepted: AcceptedLifecycleChange) -> dict[str, Any]:
        """Work on its run until that ends, as a worker does."""
        assert accepted.run_id is not None
        return await carry_out(self.installation, accepted.run_id)

    async def suspend(self, *, with_export: bool = True) -> dict[str, Any]:
        return await self.carry_out(await self.ask_suspend(with_export=with_export))

    async def resume(self) -> dict[str, Any]:
        return await self.carry_out(await self.ask_resume())

    async def delete(self, *, with_export: bool = True) -> dict[str, Any]:
        return await self.carry_out(await self.ask_delete(with_export=with_export))

    async def explanation(self) -> Explanation:
        return await explain_as_seen(self.installation, self.id)

    async def outcomes(self, run_id: UUID) -> list[tuple[str, str]]:
        """Every attempt at a step, and what came of it."""
        attempts = await list_attempts(self.installation, run_id)
        return [(step, outcome) for step, _, outcome in attempts]

    async def exports(self) -> list[dict[str, Any]]:
        return await self.installation.control.fetch_all(
            "select * from client_exports where client_id = %(id)s order by taken_at", id=self.id
        )

    async def audited(self) -> list[str]:
        """What the audit log says of it, but for how it came into being."""
        rows = await self.installation.control.fetch_all(
            "select action from audit_log where client_id = %(id)s"
            " and action not in ('client.registered', 'client.ready', 'client.connected') order by id",
            id=self.id,
        )
        return [row["action"] for row in rows]

    @property
    def database(self) -> str:
        """Its name on the server of the tests, wherever the client is."""
        return str(conninfo_to_dict(self.url)["dbname"])

    def inside(self, statement: str) -> list[dict[str, Any]]:
        """As a superuser."""
        with self.server.superuser(self.database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def remains(self) -> list[str]:
        """What is left on the server of its database and logins."""
        with self.server.superuser() as connection:
            return [
                str(row["name"])
                for row in connection.execute(
                    "select datname::text as name from pg_database where datname = %(name)s"
                    " union all select rolname::text from pg_roles where starts_with(rolname, %(name)s)",
                    {"name": self.database},
                )
            ]


async def carry_out(installation: Installation, run_id: UUID) -> dict[str, Any]:
    """Work on a run until it ends, as a worker does."""
    wait: float | None = 0
    while wait is not None:
        await asyncio.sleep(min(wait, 0.3))
        wait = await installation.provisioner.carry_out(run_id, uuid4())
    return await find_run(installation, run_id)


async def begin_life(
    installation: Installation, server: Server, *, name: str = COMPANY, plan: str = "starter"
) -> Life:
    registered = await register(installation, name, plan=plan)
    run = await carry_out(installation, registered.run_id)
    assert run["status"] == "succeeded", run["error"]
    connection = await connect_to(
        installation, registered.client_id, role="owner", requested_by="test"
    )
    return Life(installation, server, registered.client_id, connection.database_url)


async def is_let_in(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        connection = await psycopg.AsyncConnection.connect(url, connect_timeout=60)
        await connection.close()
        return True
    return False
