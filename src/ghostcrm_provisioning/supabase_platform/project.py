"""A project as the platform records it, and the status that callers are shown.

What is true of a project is its ``state``; what is shown follows from it and the clock, for on
Supabase nothing arrives at once: UNKNOWN, then COMING_UP, then ACTIVE_HEALTHY.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.sealing import Sealer

PROJECTS = NamedSql(__package__, "projects.sql")

# The official list, without the ones that only branches have.
STATUSES = (
    "INACTIVE", "ACTIVE_HEALTHY", "ACTIVE_UNHEALTHY", "COMING_UP", "UNKNOWN", "GOING_DOWN",
    "INIT_FAILED", "REMOVED", "RESTORING", "UPGRADING", "PAUSING", "RESTORE_FAILED", "RESTARTING",
    "PAUSE_FAILED", "RESIZING",
)  # fmt: skip

# Smart groups choose one of their regions; a local platform has none, so it is the first.
REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ap-east-1", "ap-southeast-1",
    "ap-northeast-1", "ap-northeast-2", "ap-southeast-2", "eu-west-1", "eu-west-2", "eu-west-3",
    "eu-north-1", "eu-central-1", "eu-central-2", "ca-central-1", "ap-south-1", "sa-east-1",
)  # fmt: skip
SMART_GROUPS = {"americas": "us-east-1", "emea": "eu-central-1", "apac": "ap-southeast-1"}

INSTANCE_SIZES = (
    "nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge",
    "12xlarge", "16xlarge", "24xlarge", "24xlarge_optimized_memory", "24xlarge_optimized_cpu",
    "24xlarge_high_memory", "48xlarge", "48xlarge_optimized_memory", "48xlarge_optimized_cpu",
    "48xlarge_high_memory",
)  # fmt: skip

_REF_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_REF_LENGTH = 20


@dataclass(frozen=True)
class Times:
    """How long things take to arrive, in seconds; on Supabase it is minutes."""

    unknown: float = 0.2
    coming_up: float = 0.8
    pausing: float = 0.5
    restoring: float = 0.8

    def settled(self, arriving: str) -> timedelta:
        """How long a project is shown to be on its way."""
        seconds = {
            "creating": self.unknown + self.coming_up,
            "pausing": self.pausing,
            "restoring": self.restoring,
        }
        return timedelta(seconds=seconds[arriving])


@dataclass(frozen=True)
class ProjectSecrets:
    """What opens a project. ``signing_key`` (PEM, P-256) signs the tokens of its users;
    ``jwt_secret`` its legacy keys."""

    database_password: str = field(repr=False)
    query_password: str = field(repr=False)
    services_password: str = field(repr=False)
    auth_password: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    signing_key: str = field(repr=False)


@dataclass(frozen=True)
class Project:
    """One row of ``projects``, its secrets opened."""

    id: UUID
    number: int
    ref: str
    organization_slug: str
    name: str
    region: str
    instance_size: str
    state: str
    settles_at: datetime | None
    stuck_as: str | None
    legacy_keys_enabled: bool
    postgrest_settings: Mapping[str, Any]
    storage_settings: Mapping[str, Any]
    network_restrictions: Mapping[str, Any] | None
    created_at: datetime
    secrets: ProjectSecrets = field(repr=False)
    auth_settings: Mapping[str, Any] = field(repr=False)

    @property
    def database(self) -> str:
        """Its database's name on our server; opaque, and never used again."""
        return f"supabase_{self.ref}"

    def shown_status(self, times: Times, now: datetime | None = None) -> str:
        """What callers are shown."""
        now = now or datetime.now(UTC)
        if self.stuck_as is not None and self.state not in {"removing", "removed"}:
            return self.stuck_as
        on_its_way = self.settles_at is not None and now < self.settles_at
        just_made = now < self.created_at + timedelta(seconds=times.unknown)
        match self.state:
            case "creating":
                return "UNKNOWN" if just_made else "COMING_UP"
            case "active" if on_its_way:
                return "UNKNOWN" if just_made else "COMING_UP"
            case "restoring":
                return "RESTORING"
            case "pausing":
                return "PAUSING"
            case "paused":
                return "PAUSING" if on_its_way else "INACTIVE"
            case "removing":
                return "GOING_DOWN"
            case "removed":
                return "REMOVED"
            case "failed":
                return "INIT_FAILED"
        return "ACTIVE_HEALTHY"


def new_ref() -> str:
    """A project's name for machines: twenty letters."""
    return "".join(secrets.choice(_REF_LETTERS) for _ in range(_REF_LENGTH))


def new_secrets(database_password: str) -> ProjectSecrets:
    """What a new project gets."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return ProjectSecrets(
        database_password=database_password,
        query_password=secrets.token_urlsafe(24),
        services_password=secrets.token_urlsafe(24),
        auth_password=secrets.token_urlsafe(24),
        jwt_secret=secrets.token_urlsafe(48),
        signing_key=pem.decode(),
    )


def seal(sealer: Sealer, project_id: UUID, column: str, value: Mapping[str, Any]) -> bytes:
    """JSON for one of the sealed columns."""
    return sealer.seal(json.dumps(value), belongs_to=f"projects.{column}/{project_id}")


def seal_secrets(sealer: Sealer, project_id: UUID, opened: ProjectSecrets) -> bytes:
    """A project's secrets for their column."""
    return seal(sealer, project_id, "secrets", vars(opened))


def read_project(row: Mapping[str, Any], sealer: Sealer) -> Project:
    """A row of ``projects``."""

    def opened(column: str) -> dict[str, Any]:
        if row[column] is None:
            return {}
        text = sealer.open(bytes(row[column]), belongs_to=f"projects.{column}/{row['id']}")
        document: dict[str, Any] = json.loads(text)
        return document

    plain = {
        name: row[name]
        for name in (
            "id", "number", "ref", "organization_slug", "name", "region", "instance_size", "state",
            "settles_at", "stuck_as", "legacy_keys_enabled", "postgrest_settings",
            "storage_settings", "network_restrictions", "created_at",
        )
    }  # fmt: skip
    return Project(
        **plain,
        secrets=ProjectSecrets(**opened("secrets")),
        auth_settings=opened("auth_settings"),
    )
