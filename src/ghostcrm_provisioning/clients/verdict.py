"""The verdicts on a client's isolation, as the control database keeps them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

VERDICTS = NamedSql(__package__, "verdicts.sql")


@dataclass(frozen=True)
class StoredVerdict:
    """What one full attack on a client database found. Never changed once it is stored.

    Attributes:
        findings: each with ``code``, ``sentence``, ``subject`` and ``caller``.
        attempts: how many attacks of each kind were made.
        duration_ms: in milliseconds.
        blueprint_fingerprint: of what was installed in the client database.
    """

    id: int
    client_id: UUID
    database_id: UUID
    began_at: datetime
    duration_ms: float
    holds: bool
    findings: list[dict[str, Any]]
    attempts: dict[str, int]
    catalog_fingerprint: str
    blueprint: str
    blueprint_fingerprint: str | None
    requested_by: str
    program_version: str

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    @property
    def sentences(self) -> list[str]:
        """What was found, for people."""
        return [str(finding["sentence"]) for finding in self.findings]


async def list_verdicts(
    connection: Connection, client_id: UUID, *, limit: int, before: int | None = None
) -> list[StoredVerdict]:
    """The verdicts on a client, newest first; those before the one with the id ``before``."""
    parameters = {"client_id": client_id, "limit": limit, "before_id": before}
    name = "list_verdicts" if before is None else "list_verdicts_before"
    rows = await (await connection.execute(VERDICTS[name], parameters)).fetchall()
    return [StoredVerdict.from_row(row) for row in rows]
