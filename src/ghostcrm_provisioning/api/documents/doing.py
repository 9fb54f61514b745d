"""What is answered when something is done for a client that is ready: plans, credentials, verification."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ghostcrm_provisioning.api.documents.clients import (
    Finding,
)
from ghostcrm_provisioning.api.documents.document import (
    ClientStatus,
    Document,
)


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
    allowed_then: int | None


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
    warning: str | None = None


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
