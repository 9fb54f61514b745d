"""What a run was asked to do that suspends, resumes or deletes a client; and the exports there are of one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

LIFECYCLE = NamedSql(__package__, "lifecycle.sql")

SUSPEND, RESUME, DELETE = "suspend_client", "resume_client", "delete_client"
LONGEST_REASON = 500


@dataclass(frozen=True)
class LifecycleChange:
    """One suspension, resumption or deletion, as it was asked for.

    Attributes:
        with_export: a dump of the client's data is written and seen first.
    """

    run_id: UUID
    client_id: UUID
    kind: str
    with_export: bool
    reason: str | None
    requested_by: str
    requested_at: datetime

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


async def find_lifecycle_change(connection: Connection, run_id: UUID) -> LifecycleChange | None:
    """None when the run is about something else."""
    row = await (await connection.execute(LIFECYCLE["find_change"], {"run_id": run_id})).fetchone()
    return None if row is None else LifecycleChange.from_row(row)


async def find_newest_export(connection: Connection, client_id: UUID) -> str | None:
    """Where the newest export of a client lies; None when there is none."""
    row = await (
        await connection.execute(LIFECYCLE["list_exports"], {"client_id": client_id, "limit": 1})
    ).fetchone()
    return None if row is None else f"{row['manifest_path']} on {row['host']}"
