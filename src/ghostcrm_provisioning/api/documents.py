"""What the API answers, as models for ``/openapi.json``.

The documents themselves are made by the rooms below (``clients/documents.py`` and others), which are the
contract. Answers are not run through these models (a list of 200 clients would take three times as
long): tests are, and so is every answer that Schemathesis provokes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_CLIENT = "52d3a2c1-8c1e-4f0e-9d52-3a1f6d1f0a11"
_RUN = "a1f4c9de-53a7-4e0c-8f0b-0f4f5c4f7b22"
_AT = "2026-11-29T10:41:07.123Z"

ClientStatus = Literal["registered", "provisioning", "ready", "failed", "quarantined"]
RunStatus = Literal["queued", "running", "waiting", "succeeded", "failed"]
RunKind = Literal["provision_client", "change_plan"]
StepStatus = Literal["pending", "running", "waiting", "done", "failed"]

_Row = TypeVar("_Row")


class Document(BaseModel):
    """Exactly these fields, named in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", serialize_by_alias=True
    )


class Listed(Document, Generic[_Row]):
    """One page of a list. `nextCursor` is null on the last one."""

    data: list[_Row]
    next_cursor: str | None
    has_more: bool


class ErrorRecord(Document):
    """Why something failed, and what to do."""

    code: str = Field(examples=["migration_failed"])
    message: str
    next_step: str
    retryable: bool
    details: dict[str, str | int | float | bool | None]


class Step(Document):
    """One step of a run. It is done when its postcondition was observed."""

    name: str = Field(examples=["prove_isolation"])
    status: StepStatus
    attempt: int
    duration_ms: int | None
    observation: str | None = None
    error: ErrorRecord | None = None


class Database(Document):
    """The database of one client."""

    id: UUID
    provider: str = Field(examples=["postgres"])
    name: str
    server: str
    status: Literal["planned", "present", "handed_over"]


class Admin(Document):
    """The client's first user, its owner. `temporaryPassword` is there once: when it was just made."""

    email: str
    user_id: UUID
    must_change_password: bool
    temporary_password: str | None = None


class Isolation(Document):
    """The latest full attack on a client's database."""

    verified_at: datetime
    holds: bool


class Client(Document):
    """One client with its latest run."""

    id: UUID = Field(examples=[_CLIENT])
    name: str = Field(examples=["ACME Corp"])
    plan: str = Field(examples=["professional"])
    wanted_plan: str
    status: ClientStatus
    database: Database
    admin: Admin
    duration_ms: int | None
    steps: list[Step]
    blueprint: str
    run_id: UUID
    kind: RunKind
    created_at: datetime
    ready_at: datetime | None
    quarantined_at: datetime | None
    isolation: Isolation | None
    error: ErrorRecord | None = None


class ProvisionedClient(Client):
    """A client, after waiting for its run to end."""

    client_id: UUID
    created: bool
    status_url: str


class ListedDatabase(Document):
    """Where a client's database is."""

    provider: str
    name: str
    server: str
    region: str | None


class ClientRow(Document):
    """One client in a list."""

    id: UUID
    name: str
    plan: str
    wanted_plan: str
    status: ClientStatus
    admin_email: str
    database: ListedDatabase
    created_at: datetime
    ready_at: datetime | None
    updated_at: datetime
    quarantined_at: datetime | None
    isolation: Isolation | None


class NextRequest(Document):
    """What can be done about it over this API."""

    method: Literal["POST"]
    path: str


class Finding(Document):
    """What an attack found open."""

    model_config = ConfigDict(extra="allow")

    code: str
    sentence: str


class Explanation(Document):
    """Why a client is not ready: what, since when, and what to do."""

    client_id: UUID
    client_name: str
    status: ClientStatus
    ready: bool
    sentence: str
    step: str | None
    step_number: int | None
    steps: int | None
    attempt: int | None
    max_attempts: int | None
    cause: str | None
    code: str | None
    retryable: bool | None
    since: datetime | None
    next_attempt_at: datetime | None
    fix: str | None
    then: str | None
    findings: list[Finding]
    next_request: NextRequest | None


class Run(Document):
    """One execution of a workflow for one client. `step` is the one at which it stands; null when all are
    done."""

    id: UUID = Field(examples=[_RUN])
    client_id: UUID
    client_name: str
    kind: RunKind
    status: RunStatus
    step: str | None
    attempt: int | None
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    duration_ms: int | None
    error: ErrorRecord | None


class Attempt(Document):
    """One attempt at one step, by one worker."""

    attempt: int
    outcome: Literal["running", "done", "failed", "told_to_wait", "abandoned"]
    started_at: datetime
    finished_at: datetime | None
    duration_ms: int | None
    worker_id: UUID
    error: ErrorRecord | None


class TimedStep(Document):
    """A step with its place in the run, and every attempt at it."""

    position: int
    name: str
    status: StepStatus
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    observation: str | None
    error: ErrorRecord | None
    attempts: list[Attempt]


class PlanChange(Document):
    """What a run of the kind `change_plan` is about."""

    from_plan: str
    to_plan: str
    requested_by: str


class RunWithSteps(Document):
    """A run with its steps."""

    id: UUID = Field(examples=[_RUN])
    client_id: UUID
    kind: RunKind
    status: RunStatus
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    duration_ms: int | None
    worker_id: UUID | None
    worker_deaths: int
    error: ErrorRecord | None
    steps: list[TimedStep]
    plan_change: PlanChange | None = None


class NewAdmin(Document):
    """Shown this once."""

    temporary_password: str


class Accepted(Document):
    """It cannot be lost any more, and goes on. `Location` is where to see it, `Retry-After` when."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "clientId": _CLIENT,
                    "runId": _RUN,
                    "status": "registered",
                    "statusUrl": f"/api/admin/clients/{_CLIENT}",
                    "created": True,
                    "explanation": "ACME Corp is waiting for a worker to take it up; it is next.",
                }
            ]
        }
    )

    client_id: UUID
    run_id: UUID
    status: ClientStatus
    status_url: str
    created: bool
    explanation: str
    admin: NewAdmin | None = None


class Registered(Document):
    """A registration that will not be lost any more."""

    client_id: UUID
    status: Literal["accepted"]
    admin: NewAdmin | None = None


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


class Queue(Document):
    """The queue at one moment. `failures` are the newest of the last day, `ratePerMinute` is of the last
    five minutes, `workers` are those that are alive."""

    queue_length: int
    processing: int
    waiting: int
    oldest_wait_ms: int | None
    failed_last_day: int
    rate_per_minute: float
    workers: list[Worker]
    current: list[CurrentOperation]
    failures: list[Failure]


class Server(Document):
    """One server that client databases are placed on. `room` is for how many more clients; null is no
    limit."""

    id: UUID
    name: str
    provider: str
    region: str | None
    accepting: bool
    clients: int
    client_limit: int | None
    room: int | None


class Usage(Document):
    """What is used of a resource, and what the two plans allow of it; null is unlimited."""

    resource: str
    used: int
    allowed_now: int | None
    allowed_then: int | None
    over_by: int


class Feature(Document):
    """One feature of a plan."""

    key: str
    title: str


class UsedBy(Document):
    """What there is that needs a feature."""

    resource: str
    used: int


class LostFeature(Feature):
    """A feature that the other plan lacks, and what needs it."""

    used_by: list[UsedBy]


class Connections(Document):
    """Connections of the client's application; null is none to say of, -1 any number."""

    allowed_now: int | None
    allowed_then: int


class InvalidField(BaseModel):
    """One place in the input that is not as it has to be."""

    pointer: str = Field(examples=["#/clientData/adminEmail"])
    code: str = Field(examples=["missing"])
    detail: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """What went wrong, and what to do next (RFC 9457)."""

    type: str = Field(examples=["/docs/errors#not_found"])
    title: str = Field(examples=["There is no such thing here."])
    status: int = Field(examples=[404])
    detail: str = Field(examples=[f"There is no client {_CLIENT}."])
    instance: str = Field(examples=[f"/api/admin/clients/{_CLIENT}"])
    code: str = Field(examples=["not_found"])
    hint: str = Field(examples=["List what exists with `GET /api/admin/clients`."])
    docs_url: str = Field(alias="docsUrl", examples=["/docs/errors#not_found"])
    request_id: str = Field(alias="requestId", examples=["8f14e45fceea467f9d0f0a3c5c1e7b2a"])
    retryable: bool = Field(examples=[False])
    errors: list[InvalidField] = Field(default=[], description="Only where input was refused.")


_WORDS = {
    400: "The query cannot be understood.",
    401: "There is no valid token.",
    403: "The token lacks the scope.",
    404: "There is no such thing.",
    409: "It contradicts what is there; nothing was changed.",
    422: "The input cannot be accepted; nothing was changed.",
    429: "Too many requests, or streams.",
    503: "It cannot be done now.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as problems, for a route's documentation."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _WORDS[status],
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }
