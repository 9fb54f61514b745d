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
    not_accepting_because: Literal["switched_off", "full"] | None


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


class PlanPreview(Document):
    """What another plan would mean. It does not fit when something would be over a limit that becomes
    lower."""

    client_id: UUID
    client_name: str
    plan: str
    new_plan: str
    fits: bool
    counted: bool
    resources: list[Usage]
    connections: Connections
    features_gained: list[Feature]
    features_lost: list[LostFeature]


class ConnectionOf(Document):
    """How to connect to a client's database. All of it is secret."""

    database_url: str
    anon_key: str
    service_role_key: str
    supabase_url: str | None = None


class Environment(Document):
    """Environment variables of the programs that connect so. All of it is secret."""

    environment: dict[str, str]


class AdminWithPassword(Document):
    """Shown this once."""

    email: str
    temporary_password: str


class ResetPassword(Document):
    """The admin's new temporary password, to be changed."""

    id: UUID
    admin: AdminWithPassword


class Verdict(Document):
    """What one full attack on a client's database found. It holds when nothing was found."""

    id: int
    client_id: UUID
    database_id: UUID
    holds: bool
    findings: list[Finding]
    attempts: dict[str, int]
    catalog_fingerprint: str
    blueprint: str
    blueprint_fingerprint: str | None
    began_at: datetime
    duration_ms: int
    requested_by: str
    program_version: str


class VerifiedClient(Verdict):
    """A verdict, with what became of the client."""

    client_name: str
    client_status: ClientStatus
    quarantined_at: datetime | None


class VerificationAsked(Document):
    """A worker will attack the client's database. What it finds becomes the newest verdict."""

    client_id: UUID
    status: ClientStatus
    requested: Literal["verification", "release"]
    verdicts_url: str
    explanation: str


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


class Token(Document):
    """A token as lists show it."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    is_valid: bool


class NewToken(Document):
    """A token that was just made. It cannot be read again."""

    id: UUID
    name: str
    scopes: list[str]
    expires_at: datetime | None
    token: str


class Me(Document):
    """Who is asking."""

    kind: Literal["token", "account"]
    id: UUID
    name: str
    actor: str
    scopes: list[str]


class AuditEntry(Document):
    """One line of the audit log."""

    id: str
    at: datetime
    actor: str
    action: str
    client_id: UUID | None
    client_name: str | None
    target: str | None
    result: Literal["done", "refused", "failed"] | None
    address: str | None
    request_id: str | None
    details: dict[str, Any]


class AccountRow(Document):
    """An admin account as lists show it."""

    id: UUID
    email: str
    scopes: list[str]
    must_change_password: bool
    main_project_user_id: UUID | None
    created_by: str
    created_at: datetime
    last_signed_in_at: datetime | None
    disabled_at: datetime | None


class NewAccount(Document):
    """An account that was just made. Its password cannot be read again."""

    id: UUID
    email: str
    temporary_password: str | None = None


class Spares(Document):
    """Client databases made ahead of demand."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool
    wanted: int
    explanation: str


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
