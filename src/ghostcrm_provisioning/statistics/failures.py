"""Why runs have failed, grouped by cause: what went wrong at which step of what, how often, and one client
of whom more can be learned. A run that was retried has not failed any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.statistics.time_to_ready import STATISTICS, Window

# So many of the latest failures are looked at; more than that tell nothing new.
MOST_FAILURES = 2000


@dataclass(frozen=True)
class FailureCause:
    """One cause; the message and the client are of its latest failure."""

    code: str
    kind: str
    step: str | None
    message: str | None
    count: int
    latest_at: datetime
    client_id: UUID
    client_name: str

    def as_document(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "kind": self.kind,
            "step": self.step,
            "message": self.message,
            "count": self.count,
            "latestAt": instant(self.latest_at),
            "example": {"clientId": str(self.client_id), "clientName": self.client_name},
        }


@dataclass(frozen=True)
class Failures:
    """The causes of a window, the most frequent first; ``is_capped`` when there were more failures than
    were looked at."""

    window: Window
    causes: list[FailureCause]

    @property
    def count(self) -> int:
        return sum(cause.count for cause in self.causes)

    @property
    def is_capped(self) -> bool:
        return self.count >= MOST_FAILURES

    def as_document(self) -> dict[str, Any]:
        return {
            "window": str(self.window),
            "count": self.count,
            "isCapped": self.is_capped,
            "causes": [cause.as_document() for cause in self.causes],
        }


async def read_failures(connection: Connection, window: Window) -> Failures:
    rows = await (
        await connection.execute(
            STATISTICS["failures_by_cause"],
            {"seconds": window.length.total_seconds(), "limit": MOST_FAILURES},
        )
    ).fetchall()
    return Failures(
        window,
        [
            FailureCause(
                code=row["code"] or "unknown",
                kind=row["kind"],
                step=row["step"],
                message=row["message"],
                count=row["failures"],
                latest_at=row["latest_at"],
                client_id=row["client_id"],
                client_name=row["client_name"],
            )
            for row in rows
        ],
    )
