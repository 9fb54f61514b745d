"""The queue, who works, where clients are placed, and what the admins were told."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ghostcrm_provisioning.api.documents.document import (
    Document,
    ErrorRecord,
    RunKind,
    RunStatus,
)


class Worker(Document):
    """One worker that is alive."""

    id: UUID
    host: str
    process_id: int
    standing: bool
    busy: int
    concurrency: int
    started_at: datetime


class CurrentOperation(Document):
    """What is being worked on, or waits for its next attempt."""

    run_id: UUID
    client_id: UUID
    client_name: str
    kind: RunKind
    status: RunStatus
    step: str | None
    attempt: int | None
    started_at: datetime | None
    next_attempt_at: datetime | None
    worker: str | None


class Failure(Document):
    """A run that has failed lately."""

    run_id: UUID
    client_id: UUID
    client_name: str
    kind: RunKind
    step: str | None
    failed_at: datetime
    error: ErrorRecord


class Rate(Document):
    """How many runs have ended per minute."""

    last_five_minutes: float
    last_hour: float


class Queue(Document):
    """The queue at one moment. `failures` are the newest of the last day, `workers` are those that are
    alive."""

    queue_length: int
    processing: int
    waiting: int
    oldest_wait_ms: int | None
    failed_last_day: int
    rate_per_minute: Rate
    workers: list[Worker]
    current: list[CurrentOperation]
    failures: list[Failure]


class Server(Document):
    """One server that client databases are placed on. `headroom` is how many more clients it takes; null
    is no limit."""

    id: UUID
    name: str
    provider: str
    region: str | None
    clients: int
    client_limit: int | None
    headroom: int | None
    accepting: bool
    not_accepting_because: Literal["switched_off", "full", "given"] | None


class Notification(Document):
    """What the admins were told, or are about to be."""

    id: int
    client_id: UUID | None
    run_id: UUID | None
    severity: Literal["info", "warning", "critical"]
    subject: str
    body: str
    created_at: datetime
    delivery: Literal["pending", "delivered", "unwanted"]
    delivery_error: str | None
    delivered_at: datetime | None


class Spares(Document):
    """Client databases made ahead of demand."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool
    wanted: int
    explanation: str
