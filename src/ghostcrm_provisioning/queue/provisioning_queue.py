"""The queue: PgQueuer in our own control database.

A job is only a nudge: "look at this run". What is to be done, and whether it still has to be done,
stands in the run, so a job that is delivered twice does nothing the second time, and a lost one is
put back from the run (:meth:`ProvisioningQueue.restore_lost_jobs`).

Each server has a lane of its own; the limit on concurrent work per server is the lane's limit,
which PgQueuer keeps across all workers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from psycopg import AsyncConnection

from ghostcrm_provisioning.clients.documents import (
    current_operation_document,
    failure_document,
    whole_ms,
    worker_document,
)
from ghostcrm_provisioning.clients.run import RUNS
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.named_sql import NamedSql

# PgQueuer is slow to load, and most commands put nothing into the queue: it is loaded where it is used.
if TYPE_CHECKING:
    from pgqueuer.adapters.persistence.queries import Queries
    from pgqueuer.ports.driver import Driver

QUEUE = NamedSql(__package__, "queue.sql")
# Names what the control database holds of the queue; a new PgQueuer brings its own changes.
QUEUE_VERSION = f"pgqueuer {version('pgqueuer')}"
CHANNEL = "ghostcrm_queue"
NOTIFICATIONS_LANE = "notifications"
# One at a time, over all workers.
VERIFICATIONS_LANE = "verifications"
_AFTER_EVERYTHING_ELSE = -1000
_MOST_FAILURES = 20


def queue_queries(driver: Driver) -> Queries:
    """PgQueuer's statements over ``driver``, bound to our schema whatever PGQUEUER_* says."""
    from pgqueuer.adapters.persistence.qb import (  # noqa: PLC0415
        QueryBuilderEnvironment,
        QueryQueueBuilder,
        QuerySchedulerBuilder,
    )
    from pgqueuer.adapters.persistence.queries import Queries  # noqa: PLC0415
    from pgqueuer.domain.settings import DBSettings  # noqa: PLC0415
    from pgqueuer.domain.types import Channel  # noqa: PLC0415

    names = DBSettings(
        prefix="",
        db_schema="ghostcrm_queue",
        channel=Channel(CHANNEL),
        function="announce_job",
        statistics_table="job_statistics",
        queue_status_type="job_status",
        queue_table="jobs",
        queue_table_log="job_log",
        trigger="jobs_announce",
        schedules_table="schedules",
    )
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(names),
        qbq=QueryQueueBuilder(names),
        qbs=QuerySchedulerBuilder(names),
    )


def _queries_over(connection: Connection) -> Queries:
    from pgqueuer.adapters.drivers.psycopg import PsycopgDriver  # noqa: PLC0415

    # PgQueuer's annotation asks for a row factory that it does not use: it brings its own cursor.
    return queue_queries(PsycopgDriver(cast("AsyncConnection[Any]", connection)))


async def install_queue(connection: Connection) -> None:
    """Create or upgrade the queue's own tables. The caller sees to it that nobody else does."""
    queries = _queries_over(connection)
    if await queries.schema_is_installed():
        await queries.apply_upgrade()
    else:
        await queries.install()


def lane_of_server(server_id: UUID) -> str:
    """The lane of the runs whose client database is on that server."""
    return f"server/{server_id}"


@dataclass(frozen=True)
class AskedVerification:
    """A verification that somebody asked for; ``release`` is to open a client in quarantine after it."""

    requested_by: str
    release: bool

    def as_text(self) -> str:
        return json.dumps({"requestedBy": self.requested_by, "release": self.release})

    @classmethod
    def from_text(cls, text: str) -> AskedVerification | None:
        """None when nobody asked: it is the night's."""
        if not text:
            return None
        fields = json.loads(text)
        return cls(str(fields["requestedBy"]), bool(fields["release"]))


@dataclass(frozen=True)
class QueueStatus:
    """The queue at one moment.

    ``failures`` are the newest of the last day; ``workers`` are those that are alive.
    """

    queue_length: int
    processing: int
    waiting: int
    oldest_wait_ms: float | None
    failed_last_day: int
    failures: list[dict[str, Any]]
    ended_last_five_minutes: int
    ended_last_hour: int
    workers: list[dict[str, Any]]
    current: list[dict[str, Any]]

    @property
    def standing_workers(self) -> int:
        """Those that others may count on."""
        return sum(worker["standing"] for worker in self.workers)

    def as_document(self) -> dict[str, Any]:
        return {
            "queueLength": self.queue_length,
            "processing": self.processing,
            "waiting": self.waiting,
            "oldestWaitMs": whole_ms(self.oldest_wait_ms),
            "failedLastDay": self.failed_last_day,
            "ratePerMinute": {
                "lastFiveMinutes": round(self.ended_last_five_minutes / 5, 2),
                "lastHour": round(self.ended_last_hour / 60, 2),
            },
            "workers": [worker_document(row) for row in self.workers],
            "current": [current_operation_document(row) for row in self.current],
            "failures": [failure_document(row) for row in self.failures],
        }


class ProvisioningQueue:
    """What is to be provisioned, in order of plan priority, then of arrival."""

    def __init__(self, control: ControlDatabase, *, lease_seconds: float) -> None:
        self._control = control
        self._lease_seconds = lease_seconds

    @staticmethod
    async def enqueue(
        connection: Connection, run_id: UUID, *, lane: str, priority: int, fence: int = 0
    ) -> None:
        """Put a run into its lane, within the caller's transaction: the job exists if, and only if,
        what it is about exists. A run that is queued already is not queued twice.

        Args:
            fence: of the run. A job that is on its way out, after the failure of a run that is
                retried, has the key of an older one and does not stand in the way.
        """
        await _queries_over(connection).enqueue(
            lane,
            run_id.bytes,
            priority=priority,
            dedupe_key=f"run/{run_id}/{fence}",
            on_conflict="skip",
        )

    @staticmethod
    async def enqueue_notification(connection: Connection, notification_id: int) -> None:
        """Have a worker deliver a notification, within the caller's transaction."""
        await _queries_over(connection).enqueue(
            NOTIFICATIONS_LANE,
            str(notification_id).encode(),
            dedupe_key=f"notification/{notification_id}",
            on_conflict="skip",
        )

    @staticmethod
    async def enqueue_verification(
        connection: Connection, client_id: UUID, *, asked: AskedVerification | None = None
    ) -> None:
        """Have a worker look after a client's isolation, within the caller's transaction: attack it,
        or finish a quarantine or release that was begun.

        Args:
            asked: when somebody asks for it, and waits; it goes before what the night brings. One that
                has begun already does not do: what he has mended since, it may not see any more.
        """
        payload, key, priority = (
            client_id.bytes,
            f"verification/{client_id}",
            _AFTER_EVERYTHING_ELSE,
        )
        if asked is not None:
            payload += asked.as_text().encode()
            key += "/release" if asked.release else "/asked"
            priority = 0
            waiting = await connection.execute(QUEUE["waits_to_begin"], {"key": key})
            if await waiting.fetchone() is not None:
                return
            key += f"/{uuid4()}"
        await _queries_over(connection).enqueue(
            VERIFICATIONS_LANE, payload, priority=priority, dedupe_key=key, on_conflict="skip"
        )

    async def restore_lost_jobs(self) -> int:
        """Enqueue unfinished runs, undelivered notifications and unfinished quarantines that no job
        points to; returns how many there were.

        That happens when a worker lost the control database at the very moment it reported.
        """
        rows = await self._control.fetch_all(
            QUEUE["runs_without_job"], older_than_seconds=self._lease_seconds
        )
        for row in rows:
            async with self._control.connection() as connection:
                await self.enqueue(
                    connection,
                    row["run_id"],
                    lane=lane_of_server(row["server_id"]),
                    priority=row["priority"],
                    fence=row["fence"],
                )
        notifications = await self._control.fetch_all(
            QUEUE["notifications_without_job"], older_than_seconds=self._lease_seconds
        )
        for row in notifications:
            async with self._control.connection() as connection:
                await self.enqueue_notification(connection, row["id"])
        quarantines = await self._control.fetch_all(
            QUEUE["quarantines_without_job"], older_than_seconds=self._lease_seconds
        )
        for row in quarantines:
            async with self._control.connection() as connection:
                await self.enqueue_verification(connection, row["id"])
        return len(rows) + len(notifications) + len(quarantines)

    async def status(self, *, limit: int = 50) -> QueueStatus:
        """Length, what is being processed, and what stands in the way, read in one moment."""
        async with self._control.transaction() as connection:
            await connection.execute("set transaction isolation level repeatable read, read only")
            counts = await (await connection.execute(RUNS["count_unfinished"])).fetchone() or {}
            current = await (
                await connection.execute(RUNS["list_current"], {"limit": limit})
            ).fetchall()
            failed = await (
                await connection.execute(RUNS["count_failed_since"], {"hours": 24})
            ).fetchone() or {"failed": 0}
            failures = await (
                await connection.execute(
                    RUNS["list_failed_since"], {"hours": 24, "limit": _MOST_FAILURES}
                )
            ).fetchall()
            ended = await (await connection.execute(RUNS["count_ended"])).fetchone() or {}
            workers = await (
                await connection.execute(
                    RUNS["list_workers"], {"lease_seconds": self._lease_seconds}
                )
            ).fetchall()
        return QueueStatus(
            queue_length=counts["queued"],
            processing=counts["running"],
            waiting=counts["waiting"],
            oldest_wait_ms=counts["oldest_queued_ms"],
            failed_last_day=failed["failed"],
            failures=failures,
            ended_last_five_minutes=ended["last_five_minutes"],
            ended_last_hour=ended["last_hour"],
            workers=[worker for worker in workers if worker["alive"]],
            current=current,
        )
