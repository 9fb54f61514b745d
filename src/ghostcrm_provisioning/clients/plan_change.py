"""What a run of the kind ``change_plan`` is about: from which plan to which, and who asked for it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

PLAN_CHANGES = NamedSql(__package__, "plan_changes.sql")


@dataclass(frozen=True)
class PlanChange:
    """One change of a client's plan, as it was asked for.

    ``applied_at`` is None until it was observed in the client's database, and for ever when it
    failed.
    """

    run_id: UUID
    client_id: UUID
    from_plan: str
    to_plan: str
    allow_over_limit: bool
    requested_by: str
    requested_at: datetime
    applied_at: datetime | None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


async def find_plan_change(connection: Connection, run_id: UUID) -> PlanChange | None:
    """None when the run is about something else."""
    row = await (
        await connection.execute(PLAN_CHANGES["find_plan_change"], {"run_id": run_id})
    ).fetchone()
    return None if row is None else PlanChange.from_row(row)
