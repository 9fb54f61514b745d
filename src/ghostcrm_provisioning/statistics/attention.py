"""What needs attention, the worst first: each concern is one sentence for people, and a code for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.statistics.numbers import QueueNumbers, ServerNumbers, WorkerNumbers

# Whoever waits for longer than this for a worker is worth a look.
LONG_WAIT_MS = 60_000
# So many clients of one kind are named, the others counted.
_NAMED = 5
_FAILURES = {
    "provision_client": ("client_failed", "failed"),
    "change_plan": ("plan_change_failed", "could not be given another plan"),
    "suspend_client": ("suspend_failed", "could not be suspended"),
    "resume_client": ("resume_failed", "could not be resumed"),
    "delete_client": ("delete_failed", "could not be deleted"),
    "rotate_credentials": ("rotation_failed", "could not be given other credentials"),
}
_SEVERITIES = ("critical", "warning")

Severity = Literal["critical", "warning"]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Concern:
    """One thing that somebody should look at.

    Attributes:
        code: no_workers, client_quarantined, client_failed, plan_change_failed, suspend_failed,
            resume_failed, delete_failed, rotation_failed, long_wait, notifications_undelivered,
            no_server_available, server_not_accepting.
        count: of what the sentence is about.
    """

    code: str
    severity: Severity
    sentence: str
    since: datetime | None = None
    client_id: UUID | None = None
    client_name: str | None = None
    server: str | None = None
    step: str | None = None
    count: int = 1

    def as_document(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "sentence": self.sentence,
            "since": instant(self.since),
            "clientId": None if self.client_id is None else str(self.client_id),
            "clientName": self.client_name,
            "server": self.server,
            "step": self.step,
            "count": self.count,
        }


def find_concerns(
    *,
    clients: Mapping[str, int],
    queue: QueueNumbers,
    workers: Sequence[WorkerNumbers],
    servers: Sequence[ServerNumbers],
    failures: Sequence[Row],
    quarantined: Sequence[Row],
    undelivered: Row,
) -> list[Concern]:
    """Everything that needs attention; within one severity in the order of this text."""
    found = [
        *_of_workers(queue, workers),
        *_of_quarantine(clients, quarantined),
        *_of_failures(clients, failures),
        *_of_servers(servers),
        *_of_waiting(queue, workers),
        *_of_notifications(undelivered),
    ]
    return sorted(found, key=lambda concern: _SEVERITIES.index(concern.severity))


def _of_workers(queue: QueueNumbers, workers: Sequence[WorkerNumbers]) -> Iterator[Concern]:
    if any(worker.standing for worker in workers):
        return
    unfinished = queue.queued + queue.running + queue.waiting
    sentence = "No workers are running. Nothing will be provisioned until one starts."
    if workers:
        sentence = "No workers are running, but for a command that works on its own request."
    yield Concern("no_workers", "critical" if unfinished else "warning", sentence, count=unfinished)


def _of_quarantine(clients: Mapping[str, int], quarantined: Sequence[Row]) -> Iterator[Concern]:
    for row in quarantined[:_NAMED]:
        yield Concern(
            "client_quarantined",
            "critical",
            f"{row['client_name']} is in quarantine: its isolation is not proven.",
            since=row["quarantined_at"],
            client_id=row["client_id"],
            client_name=row["client_name"],
        )
    if more := _more(clients.get("quarantined", 0), quarantined):
        yield Concern(
            "client_quarantined", "critical", f"{more:,} more are in quarantine.", count=more
        )


def _of_failures(clients: Mapping[str, int], failures: Sequence[Row]) -> Iterator[Concern]:
    for row in failures[:_NAMED]:
        of_client = row["kind"] == "provision_client"
        code, what = _FAILURES.get(row["kind"], _FAILURES["provision_client"])
        yield Concern(
            code,
            "critical" if of_client else "warning",
            f"{row['client_name']} {what}: {row['message'] or 'no reason was recorded.'}",
            since=row["finished_at"],
            client_id=row["client_id"],
            client_name=row["client_name"],
            step=row["step"],
        )
    named = [row for row in failures[:_NAMED] if row["kind"] == "provision_client"]
    if (more := clients.get("failed", 0) - len(named)) > 0:
        yield Concern("client_failed", "critical", f"{more:,} more have failed.", count=more)


def _more(total: int, named: Sequence[Row]) -> int:
    return max(0, total - len(named[:_NAMED]))


def _of_servers(servers: Sequence[ServerNumbers]) -> Iterator[Concern]:
    if not any(server.accepting for server in servers):
        yield Concern(
            "no_server_available",
            "critical",
            "No server takes another client. Registrations are refused until one does.",
        )
    for server in servers:
        if server.why_not == "full":
            yield Concern(
                "server_not_accepting",
                "warning",
                f"{server.name} is full: {server.clients:,} of {server.client_limit:,} clients.",
                server=server.name,
            )


def _of_waiting(queue: QueueNumbers, workers: Sequence[WorkerNumbers]) -> Iterator[Concern]:
    waiting = queue.longest_waiting
    standing = [worker for worker in workers if worker.standing]
    if waiting is None or waiting.wait_ms < LONG_WAIT_MS or not standing:
        return
    seconds = round(waiting.wait_ms / 1000)
    waited = f"{seconds} s" if seconds < 120 else f"{seconds // 60:,} min"
    busy = queue.limit and queue.running >= queue.limit
    why = f" All {queue.limit} places are taken." if busy else ""
    yield Concern(
        "long_wait",
        "warning",
        f"{waiting.client_name} has been waiting for a worker for {waited}.{why}",
        since=waiting.since,
        client_id=UUID(waiting.client_id),
        client_name=waiting.client_name,
        count=queue.queued,
    )


def _of_notifications(undelivered: Row) -> Iterator[Concern]:
    count = undelivered["notifications"]
    if not count:
        return
    are = "notification is" if count == 1 else "notifications are"
    yield Concern(
        "notifications_undelivered",
        "warning",
        f"{count:,} {are} not delivered yet.",
        since=undelivered["since"],
        count=count,
    )
