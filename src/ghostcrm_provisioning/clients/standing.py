"""Where the runs of several clients stand, for whoever looks at many of them at once.

Nothing here is changed, and nothing is decided; what one client's state means is said by
:mod:`~ghostcrm_provisioning.explanation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

STANDING = NamedSql(__package__, "standing.sql")


@dataclass(frozen=True)
class Standing:
    """A client's latest run, and the step at which that stands; ``step`` is None when all are done."""

    client_id: UUID
    blueprint_fingerprint: str | None
    run_id: UUID
    kind: str
    run_status: str
    error: dict[str, Any] | None
    next_attempt_at: datetime | None
    finished_at: datetime | None
    step: str | None
    attempt: int | None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


async def find_standings(
    connection: Connection, client_ids: Sequence[UUID]
) -> dict[UUID, Standing]:
    """How it stands with each of these clients, by id."""
    rows = await (
        await connection.execute(STANDING["standings"], {"client_ids": list(client_ids)})
    ).fetchall()
    return {row["client_id"]: Standing.from_row(row) for row in rows}


async def list_waiting(connection: Connection, *, limit: int) -> list[dict[str, Any]]:
    """What waits for a worker, in the order in which it is taken up."""
    return await (await connection.execute(STANDING["waiting_runs"], {"limit": limit})).fetchall()


async def count_running_by_server(connection: Connection) -> dict[str, int]:
    """How many runs are being carried out on each server, by its name."""
    rows = await (await connection.execute(STANDING["running_by_server"])).fetchall()
    return {row["server_name"]: row["running"] for row in rows}


async def now_at_control(connection: Connection) -> datetime:
    """The time on the clock that writes the records: pages count from it."""
    row = await (await connection.execute(STANDING["clock"])).fetchone()
    return row["now"] if row else datetime.now(UTC)
