"""Clients, why one is not ready, and what is answered when something was accepted for one."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from ghostcrm_provisioning.api.documents.document import (
    A_CLIENT,
    A_RUN,
    ClientStatus,
    Document,
    ErrorRecord,
    RunKind,
    StepStatus,
)


class Step(Document):
    """One step of a run. It is done when its postcondition was observed."""

    name: str = Field(examples=["prove_isolation"])
    status: StepStatus
    attempt: int
    duration_ms: int | None
    observation: str | None = None
    error: ErrorRecord | None = None


class Project(Document):
    """A client's project at Supabase: what it is called there, and its status as it was last seen."""

    ref: str
    status: str | None = Field(examples=["ACTIVE_HEALTHY"])


class Database(Document):
    """The database of one client."""

    id: UUID
    provider: str = Field(examples=["postgres"])
    name: str
    server: str
    status: Literal["planned", "present", "handed_over", "absent"]
    project: Project | None = None


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

    id: UUID = Field(examples=[A_CLIENT])
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
    suspended_at: datetime | None
    deleted_at: datetime | None
    absence: str | None = Field(
        description="What was seen when nothing was left of its database: the certificate of a deletion."
    )
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
    suspended_at: datetime | None
    deleted_at: datetime | None
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


class NewAdmin(Document):
    """Shown this once."""

    temporary_password: str


class Accepted(Document):
    """It cannot be lost any more, and goes on. `Location` is where to see it, `Retry-After` when."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "clientId": A_CLIENT,
                    "runId": A_RUN,
                    "status": "registered",
                    "statusUrl": f"/api/admin/clients/{A_CLIENT}",
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
