"""The queue, the workers and the servers in numbers, and the JSON documents of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ghostcrm_provisioning.clients.documents import instant, whole_ms


@dataclass(frozen=True)
class WaitingClient:
    """The one that has waited the longest for a worker to take it up."""

    client_id: str
    client_name: str
    since: datetime
    wait_ms: float

    def as_document(self) -> dict[str, Any]:
        return {
            "clientId": self.client_id,
            "clientName": self.client_name,
            "since": instant(self.since),
            "waitMs": whole_ms(self.wait_ms),
        }


@dataclass(frozen=True)
class QueueNumbers:
    """The queue, and how much of what can be done at the same time is being done.

    Attributes:
        limit: how many runs can be worked on at the same time: what the servers allow, or what the
            workers can take, whichever is less.
    """

    queued: int
    running: int
    waiting: int
    next_attempt_at: datetime | None
    limit: int
    limit_of_servers: int
    limit_of_workers: int
    longest_waiting: WaitingClient | None
    finished_last_five_minutes: int
    finished_last_hour: int
    failed_last_day: int

    @property
    def utilisation(self) -> float | None:
        """From 0 to 1; None when nobody works."""
        return min(1.0, self.running / self.limit) if self.limit else None

    def as_document(self) -> dict[str, Any]:
        oldest = self.longest_waiting
        return {
            "queueLength": self.queued,
            "processing": self.running,
            "waiting": self.waiting,
            "nextAttemptAt": instant(self.next_attempt_at),
            "limit": self.limit,
            "limitOfServers": self.limit_of_servers,
            "limitOfWorkers": self.limit_of_workers,
            "utilisation": None if self.utilisation is None else round(self.utilisation, 3),
            "oldestWaitMs": None if oldest is None else whole_ms(oldest.wait_ms),
            "longestWaiting": None if oldest is None else oldest.as_document(),
            "ratePerMinute": {
                "lastFiveMinutes": round(self.finished_last_five_minutes / 5, 2),
                "lastHour": round(self.finished_last_hour / 60, 2),
            },
            "failedLastDay": self.failed_last_day,
        }


@dataclass(frozen=True)
class WorkerNumbers:
    """A worker that is alive, and how many of its places are taken."""

    id: str
    host: str
    process_id: int
    standing: bool
    busy: int
    concurrency: int
    started_at: datetime
    heartbeat_at: datetime

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(
            str(row["id"]),
            row["host"],
            row["process_id"],
            row["standing"],
            row["busy"],
            row["concurrency"],
            row["started_at"],
            row["heartbeat_at"],
        )

    def as_document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "host": self.host,
            "processId": self.process_id,
            "standing": self.standing,
            "busy": self.busy,
            "concurrency": self.concurrency,
            "startedAt": instant(self.started_at),
            "heartbeatAt": instant(self.heartbeat_at),
        }


@dataclass(frozen=True)
class ServerNumbers:
    """A server, and how many more clients it takes."""

    id: str
    name: str
    provider: str
    region: str | None
    clients: int
    client_limit: int | None
    wants_more: bool

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(
            str(row["id"]),
            row["name"],
            row["provider"],
            row["region"],
            row["clients"],
            row["client_limit"],
            row["accepting"],
        )

    @property
    def headroom(self) -> int | None:
        """In clients; None when there is no limit."""
        return None if self.client_limit is None else max(0, self.client_limit - self.clients)

    @property
    def why_not(self) -> str | None:
        """Why it takes no more clients; None when it does. The place of databases that were given is no room
        for a client that has none."""
        if self.provider == "existing":
            return "given"
        if not self.wants_more:
            return "switched_off"
        return "full" if self.headroom == 0 else None

    @property
    def accepting(self) -> bool:
        return self.why_not is None

    def as_document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "provider": self.provider,
            "region": self.region,
            "clients": self.clients,
            "clientLimit": self.client_limit,
            "headroom": self.headroom,
            "accepting": self.accepting,
            "notAcceptingBecause": self.why_not,
        }
