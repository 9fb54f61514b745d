"""Tells the admins: always into the control database, and through Apprise where URLs are set.

The notification is recorded in the transaction that records what happened; a worker delivers it
afterwards, and again until it gets through (at least once).
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.run import Run
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import GhostcrmError, InvalidSetting
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.queue.provisioning_queue import ProvisioningQueue

NOTIFICATIONS = NamedSql(__package__, "notifications.sql")

# What Apprise calls them.
_SEVERITY_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_LONGEST_WAIT_SECONDS = 3600.0
_MOST_SENTENCES = 20
_DAYS_UNTIL_TOLD_AGAIN = 30


class Notifier:
    """Records and delivers notifications.

    Args:
        urls: Apprise URLs; they hold credentials and never appear in a log or an error.
    """

    def __init__(self, control: ControlDatabase, *, urls: tuple[str, ...]) -> None:
        self._control = control
        self._apprise = _apprise_of(urls) if urls else None

    async def run_failed(
        self, connection: Connection, client: Client, run: Run, error: GhostcrmError
    ) -> None:
        """Record that a client could not be made ready, or not be changed, within the caller's
        transaction."""
        is_the_first = run.kind == "provision_client"
        await self._record(
            connection,
            client_id=client.id,
            run_id=run.id,
            severity="critical" if is_the_first else "warning",
            subject=(
                f"{client.name} could not be provisioned"
                if is_the_first
                else f"The plan of {client.name} could not be changed to {client.wanted_plan}"
            ),
            body=(
                f"{error.message}\n\nWhat to do: {error.next_step}\n"
                + ("" if is_the_first else "The client stays ready and in use.\n")
                + f"Details: ghostcrm clients explain {client.id}"
            ),
        )

    async def isolation_failed(
        self, connection: Connection, client: Client, sentences: list[str]
    ) -> None:
        """Record that a client's isolation is not proven any more, within the caller's transaction."""
        await self._record(
            connection,
            client_id=client.id,
            run_id=None,
            severity="critical",
            subject=f"{client.name}: its isolation is not proven, so it goes into quarantine",
            body="\n".join(
                [
                    "A full attack on its database found:",
                    *(f"- {sentence}" for sentence in sentences[:_MOST_SENTENCES]),
                    *(["- and more"] if len(sentences) > _MOST_SENTENCES else []),
                    "",
                    "Nobody is let into it any more, neither the client nor anybody else.",
                    "What to do: mend what was found, then have it verified and opened again with",
                    f"ghostcrm clients release {client.id}",
                    f"Details: ghostcrm clients explain {client.id}",
                ]
            ),
        )

    async def verification_not_possible(
        self, connection: Connection, client: Client, error: GhostcrmError
    ) -> None:
        """Record that a client could not be verified, within the caller's transaction: whoever can keep
        the attack from being made must not go unnoticed."""
        await self._record(
            connection,
            client_id=client.id,
            run_id=None,
            severity="warning",
            subject=f"{client.name} could not be verified",
            body=(
                f"{error.message}\n\nWhat to do: {error.next_step}\n"
                "Nothing is said about its isolation; it stays as it is.\n"
                f"Then: ghostcrm verify {client.id}"
            ),
        )

    async def plan_differs(self, connection: Connection, client: Client) -> None:
        """Record that a client's database allows something else than its plan, within the caller's
        transaction; once in a while, not after every look."""
        subject = f"The database of {client.name} allows something else than its plan"
        asked = {"client_id": client.id, "subject": subject, "days": _DAYS_UNTIL_TOLD_AGAIN}
        told = await (await connection.execute(NOTIFICATIONS["was_told"], asked)).fetchone()
        if told is not None and told["holds"]:
            return
        await self._record(
            connection,
            client_id=client.id,
            run_id=None,
            severity="warning",
            subject=subject,
            body=(
                f"The client has the plan {client.plan}; the limits or features in its database are others. "
                "Somebody with its owner's login has changed them, or the plan's declaration was changed "
                "since.\n\nWhat to do: see by how much, and have the plan applied anew:\n"
                f"ghostcrm clients change-plan {client.id} {client.plan} --dry-run\n"
                f"ghostcrm clients change-plan {client.id} {client.plan}"
            ),
        )

    async def _record(
        self,
        connection: Connection,
        *,
        client_id: UUID,
        run_id: UUID | None,
        severity: str,
        subject: str,
        body: str,
    ) -> None:
        wanted = self._apprise is not None
        row = await (
            await connection.execute(
                NOTIFICATIONS["insert_notification"],
                {
                    "client_id": client_id,
                    "run_id": run_id,
                    "severity": severity,
                    "subject": subject,
                    "body": body,
                    "delivery": "pending" if wanted else "unwanted",
                },
            )
        ).fetchone()
        if wanted and row is not None:
            await ProvisioningQueue.enqueue_notification(connection, row["id"])

    async def deliver(self, notification_id: int) -> float | None:
        """Send a notification; returns in how many seconds to try again, None when it is done."""
        row = await self._control.fetch_one(NOTIFICATIONS["find_pending"], id=notification_id)
        if row is None:
            return None
        # Apprise blocks; its answer says only whether every address took the message.
        taken = self._apprise is not None and await asyncio.to_thread(
            self._apprise.notify,
            title=row["subject"],
            body=row["body"],
            notify_type=_SEVERITY_TYPES[row["severity"]],
        )
        if taken:
            await self._control.execute(NOTIFICATIONS["mark_delivered"], id=notification_id)
            return None
        attempts: int = row["delivery_attempts"]
        wait_seconds = min(_LONGEST_WAIT_SECONDS, 5.0 * 2.0 ** min(attempts, 20))
        await self._control.execute(
            NOTIFICATIONS["mark_undelivered"],
            id=notification_id,
            error="At least one of GHOSTCRM_NOTIFY_URLS did not take it.",
        )
        get_logger("notifications").warning(
            "notification_not_taken", notificationId=notification_id, waitSeconds=wait_seconds
        )
        return wait_seconds


def _apprise_of(urls: tuple[str, ...]) -> Any:
    # Apprise is slow to load, and most commands notify nobody.
    import apprise  # noqa: PLC0415

    addresses = apprise.Apprise()
    for number, url in enumerate(urls, start=1):
        if not addresses.add(url):
            raise InvalidSetting(
                f"GHOSTCRM_NOTIFY_URLS cannot be used: URL number {number} is not one that "
                "Apprise knows."
            )
    return addresses
