"""The attack that is to be made on a client, or is being made, as its job in the queue tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

_PENDING = NamedSql(__package__, "pending_verification.sql")


@dataclass(frozen=True)
class PendingVerification:
    """An attack that has not come to its end. ``next_attempt_at`` is there after one that could not be
    carried out."""

    is_under_way: bool
    is_release: bool
    asked_at: datetime
    next_attempt_at: datetime | None


async def find_pending_verification(
    connection: Connection, client_id: UUID
) -> PendingVerification | None:
    """None when there is none."""
    row = await (
        await connection.execute(_PENDING["find_pending_verification"], {"client_id": client_id})
    ).fetchone()
    if row is None:
        return None
    waits = row["attempts"] > 0 and not row["is_under_way"]
    return PendingVerification(
        row["is_under_way"],
        row["is_release"],
        row["created"],
        row["execute_after"] if waits else None,
    )
