"""What operators were told, as its page lists it: filtered, the newest first, with the client's name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.notifications.notifier import NOTIFICATIONS

SEVERITIES = ("info", "warning", "critical")
DELIVERIES = ("pending", "delivered", "unwanted")


@dataclass(frozen=True)
class Notification:
    """One notification, and what became of its delivery."""

    id: int
    client_id: UUID | None
    client_name: str | None
    run_id: UUID | None
    severity: str
    subject: str
    body: str
    created_at: datetime
    delivery: str
    delivery_attempts: int
    delivery_error: str | None
    delivered_at: datetime | None


async def list_page(
    control: ControlDatabase,
    *,
    limit: int,
    before_id: int | None = None,
    severity: str | None = None,
    delivery: str | None = None,
) -> list[Notification]:
    """The newest, or those older than ``before_id``. Filters that are None do not count."""
    rows = await control.fetch_all(
        NOTIFICATIONS["list_page"],
        limit=limit,
        before_id=before_id,
        severity=severity,
        delivery=delivery,
    )
    return [Notification(**row) for row in rows]
