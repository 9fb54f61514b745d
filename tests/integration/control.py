"""What tests do with the control database from outside, and what they see in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.queue.worker import Worker
from ghostcrm_provisioning.registration_form import checked_form
from ghostcrm_provisioning.wiring import Installation

# Whatever lives in them is no part of what a registration leaves behind.
_HOUSEKEEPING = frozenset({"schema_migrations", "workers", "job_log", "job_statistics"})


@dataclass(frozen=True)
class Registered:
    """A client that was registered by a test."""

    client_id: UUID
    run_id: UUID
    database: str


async def register(
    installation: Installation,
    name: str = "ACME Corp",
    *,
    email: str = "admin@acme.com",
    plan: str = "starter",
    blueprint: object = None,
) -> Registered:
    form = checked_form(
        company_name=name,
        admin_email=email,
        plan=plan,
        blueprint=str(blueprint or installation.settings.blueprint),
        admin_password="secure-password",
    )
    accepted = await installation.registrar.register(form, registered_by="test")
    row = await installation.control.fetch_one(
        "select name from client_databases where client_id = %(id)s", id=accepted.client_id
    )
    assert row is not None
    return Registered(accepted.client_id, accepted.run_id, row["name"])


async def fetch(installation: Installation, query: str, **parameters: Any) -> dict[str, Any]:
    """The one row that a query returns."""
    row = await installation.control.fetch_one(query, **parameters)
    assert row is not None
    return row


async def find_run(installation: Installation, run_id: UUID) -> dict[str, Any]:
    return await fetch(
        installation,
        "select r.*, r.status::text as status, c.status::text as client_status"
        " from runs r join clients c on c.id = r.client_id where r.id = %(id)s",
        id=run_id,
    )


async def list_attempts(installation: Installation, run_id: UUID) -> list[tuple[str, int, str]]:
    """Every attempt of a run: its step, its number, what came of it."""
    rows = await installation.control.fetch_all(
        "select s.name, a.attempt, a.outcome::text from step_attempts a"
        " join steps s using (run_id, position) where a.run_id = %(id)s"
        " order by a.started_at, a.position",
        id=run_id,
    )
    return [(row["name"], row["attempt"], row["outcome"]) for row in rows]


async def are_ready(installation: Installation, count: int) -> bool:
    row = await fetch(installation, "select count(*) as ready from clients where status = 'ready'")
    return bool(row["ready"] == count)


@asynccontextmanager
async def at_work(installation: Installation) -> AsyncIterator[Worker]:
    """A standing worker inside this process."""
    worker = installation.make_worker(standing=True)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task


class Hold:
    """Keeps runs from getting past “acquire database”: has the lock under which the logins of a
    client database are made."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]]) -> None:
        self._connection = connection

    async def take(self, database: str) -> None:
        await self._connection.execute(
            "select pg_advisory_lock(hashtextextended(%s, 0))", (database,)
        )

    async def release(self, database: str) -> None:
        await self._connection.execute(
            "select pg_advisory_unlock(hashtextextended(%s, 0))", (database,)
        )

    async def release_all(self) -> None:
        await self._connection.execute("select pg_advisory_unlock_all()")


@asynccontextmanager
async def hold(installation: Installation, *registered: Registered) -> AsyncIterator[Hold]:
    """Holds the runs of those clients, until they are released or the block ends."""
    connection = await AsyncConnection.connect(
        installation.control.url, autocommit=True, row_factory=dict_row
    )
    async with connection:
        holder = Hold(connection)
        for each in registered:
            await holder.take(each.database)
        yield holder


async def whole_contents(
    installation: Installation, *, housekeeping: bool = False
) -> dict[str, list[str]]:
    """Every row of every table of ours, the queue's included."""
    async with installation.control.connection() as connection:
        tables = await (
            await connection.execute(
                "select schemaname, tablename from pg_tables"
                " where schemaname in ('ghostcrm', 'ghostcrm_queue')"
            )
        ).fetchall()
        wanted = [
            (table["schemaname"], table["tablename"])
            for table in tables
            if housekeeping or table["tablename"] not in _HOUSEKEEPING
        ]
        # All in one statement: it is looked before and after whatever must change nothing.
        everything = sql.SQL(" union all ").join(
            sql.SQL("select {} as place, to_jsonb(t)::text as row from {} t").format(
                sql.Literal(".".join(place)), sql.Identifier(*place)
            )
            for place in wanted
        )
        contents: dict[str, list[str]] = {".".join(place): [] for place in wanted}
        for row in await (await connection.execute(everything)).fetchall():
            contents[row["place"]].append(row["row"])
    for rows in contents.values():
        rows.sort()
    return contents


async def databases_named(installation: Installation, name: str) -> int:
    row = await fetch(
        installation,
        "select count(*) as databases from pg_database where datname = %(name)s",
        name=name,
    )
    return int(row["databases"])
