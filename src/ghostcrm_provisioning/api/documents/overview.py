"""How everything stands."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from ghostcrm_provisioning.api.documents.document import (
    Document,
    RunKind,
)
from ghostcrm_provisioning.api.documents.queue import (
    Rate,
    Server,
    Worker,
)
from ghostcrm_provisioning.api.documents.runs import (
    Run,
)


class Concern(Document):
    """Something that needs attention."""

    code: str
    severity: str
    sentence: str
    since: datetime | None
    client_id: UUID | None
    client_name: str | None
    server: str | None
    step: str | None
    count: int | None


class ClientCounts(Document):
    """How many clients there are, and in which status."""

    total: int
    by_status: dict[str, int]


class LongestWaiting(Document):
    """The one that has waited the longest for a worker to take it up."""

    client_id: UUID
    client_name: str
    since: datetime
    wait_ms: int


class QueueNumbers(Document):
    """The queue, and how much of what can be done at the same time is being done."""

    queue_length: int
    processing: int
    waiting: int
    next_attempt_at: datetime | None
    limit: int
    limit_of_servers: int
    limit_of_workers: int
    utilisation: float | None
    oldest_wait_ms: int | None
    longest_waiting: LongestWaiting | None
    rate_per_minute: Rate
    failed_last_day: int


class SeenWorker(Worker):
    """One worker, and when it was heard of last."""

    heartbeat_at: datetime


class Workers(Document):
    """Those that others may count on, and how many have no place free."""

    alive: int
    busy: int
    list: list[SeenWorker]


class ReadyTimes(Document):
    """How many clients became ready in a time, and how long that took them; null for none."""

    from_: datetime = Field(alias="from")
    to: datetime
    clients: int
    p50_ms: int | None
    p95_ms: int | None


class TimeToReady(ReadyTimes):
    """The window as a whole, and part by part."""

    window: Literal["24h", "7d", "30d"]
    at: datetime
    buckets: list[ReadyTimes]


class ExampleClient(Document):
    """One client of several."""

    client_id: UUID
    client_name: str


class FailureCause(Document):
    """Failures that have the same cause."""

    code: str
    kind: RunKind
    step: str | None
    message: str | None
    count: int
    latest_at: datetime
    example: ExampleClient


class Failures(Document):
    """The causes in the window, the most frequent first."""

    window: Literal["24h", "7d", "30d"]
    count: int
    is_capped: bool
    causes: list[FailureCause]


class Overview(Document):
    """How everything stands. `queue`, `workers` and `servers` are null for whoever may not see them."""

    at: datetime
    clients: ClientCounts
    needs_attention: list[Concern]
    queue: QueueNumbers | None
    workers: Workers | None
    servers: list[Server] | None
    recent_operations: list[Run]
    time_to_ready: TimeToReady
    failures: Failures
