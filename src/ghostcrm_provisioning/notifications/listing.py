"""What the admins were told, newest first. How they are told is in :mod:`.notifier`."""

from __future__ import annotations

from typing import Any

from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.notifications.notifier import NOTIFICATIONS


async def list_notifications(
    control: ControlDatabase, *, limit: int, before: int | None = None
) -> list[dict[str, Any]]:
    """The newest notifications, or those before the one with the id ``before``."""
    return await control.fetch_all(
        NOTIFICATIONS["list_notifications"], limit=limit, before_id=before
    )


def notification_document(row: dict[str, Any]) -> dict[str, Any]:
    """One notification, as the command and the API answer it."""
    return {
        "id": row["id"],
        "clientId": row["client_id"] and str(row["client_id"]),
        "runId": row["run_id"] and str(row["run_id"]),
        "severity": row["severity"],
        "subject": row["subject"],
        "body": row["body"],
        "createdAt": instant(row["created_at"]),
        "delivery": row["delivery"],
        "deliveryError": row["delivery_error"],
        "deliveredAt": instant(row["delivered_at"]),
    }
