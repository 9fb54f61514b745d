"""The numbers of the overview, seen in one moment: what needs attention, how many clients there are, what
the queue and the workers do, and how much room the servers have. Cheap enough to be read every few seconds.

How long registrations take is in time_to_ready.py, why they fail in failures.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ghostcrm_provisioning.clients.documents import instant, run_row_document
from ghostcrm_provisioning.clients.run_listing import RunFilter, list_runs
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.statistics.attention import Concern, find_concerns
from ghostcrm_provisioning.statistics.numbers import (
    QueueNumbers,
    ServerNumbers,
    WaitingClient,
    WorkerNumbers,
)
from ghostcrm_provisioning.statistics.time_to_ready import STATISTICS

_RECENT_OPERATIONS = 10
_LISTED_CONCERNS = 6


@dataclass(frozen=True)
class Overview:
    """Everything, as it was at ``at``."""

    at: datetime
    clients: dict[str, int]
    queue: QueueNumbers
    workers: list[WorkerNumbers]
    servers: list[ServerNumbers]
    concerns: list[Concern]
    recent_operations: list[dict[str, Any]]

    def as_document(self) -> dict[str, Any]:
        standing = [worker for worker in self.workers if worker.standing]
        return {
            "at": instant(self.at),
            "clients": {"total": sum(self.clients.values()), "byStatus": self.clients},
            "needsAttention": [concern.as_document() for concern in self.concerns],
            "queue": self.queue.as_document(),
            "workers": {
                "alive": len(standing),
                "busy": sum(worker.busy >= worker.concurrency for worker in standing),
                "list": [worker.as_document() for worker in self.workers],
            },
            "servers": [server.as_document() for server in self.servers],
            "recentOperations": [run_row_document(row) for row in self.recent_operations],
        }


async def read_overview(
    connection: Connection, *, lease_seconds: float, concurrency_per_server: int
) -> Overview:
    """Read all of it. ``connection`` is in a transaction whose statements see one moment."""

    async def rows(
        statement: Any, parameters: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return await (await connection.execute(statement, parameters)).fetchall()

    async def row(statement: Any, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        return (await rows(statement, parameters) or [{}])[0]

    at = (await row(STATISTICS["moment"]))["at"]
    clients = {each["status"]: each["clients"] for each in await rows(STATISTICS["count_clients"])}
    lease = {"lease_seconds": lease_seconds}
    workers = [
        WorkerNumbers.from_row(each) for each in await rows(STATISTICS["list_workers"], lease)
    ]
    servers = [ServerNumbers.from_row(each) for each in await rows(STATISTICS["list_servers"])]
    counts = await row(STATISTICS["read_queue"])
    longest = await row(STATISTICS["longest_waiting"])
    finished = await row(STATISTICS["count_finished"])
    failed = await row(STATISTICS["count_failed_runs"])
    limit_of_servers = concurrency_per_server * len(servers)
    limit_of_workers = sum(worker.concurrency for worker in workers if worker.standing)
    queue = QueueNumbers(
        queued=counts["queued"],
        running=counts["running"],
        waiting=counts["waiting"],
        next_attempt_at=counts["next_attempt_at"],
        limit=min(limit_of_servers, limit_of_workers),
        limit_of_servers=limit_of_servers,
        limit_of_workers=limit_of_workers,
        longest_waiting=WaitingClient(
            str(longest["client_id"]),
            longest["client_name"],
            longest["queued_at"],
            longest["wait_ms"],
        )
        if longest
        else None,
        finished_last_five_minutes=finished["last_five_minutes"],
        finished_last_hour=finished["last_hour"],
        failed_last_day=failed["failed"],
    )
    concerns = find_concerns(
        clients=clients,
        queue=queue,
        workers=workers,
        servers=servers,
        failures=await rows(STATISTICS["latest_failures"], {"limit": _LISTED_CONCERNS}),
        quarantined=await rows(STATISTICS["latest_quarantined"], {"limit": _LISTED_CONCERNS}),
        undelivered=await row(STATISTICS["count_undelivered"], {"older_than_seconds": 60}),
    )
    recent = await list_runs(connection, RunFilter(), limit=_RECENT_OPERATIONS)
    return Overview(at, clients, queue, workers, servers, concerns, recent.rows)
