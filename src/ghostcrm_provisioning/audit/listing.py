"""Reading the audit log: filtered, the newest first, a page at a time or as rows of CSV."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.audit.record import AUDIT, Result
from ghostcrm_provisioning.control_database.database import ControlDatabase

COLUMNS = (
    "at",
    "actor",
    "action",
    "clientId",
    "clientName",
    "target",
    "result",
    "address",
    "requestId",
    "details",
)
_ROWS_AT_A_TIME = 500
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class AuditFilter:
    """Which entries; what is None does not count. ``since`` is included, ``until`` is not."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None
    client_id: UUID | None = None
    result: Result | None = None
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit log."""

    id: int
    at: datetime
    actor: str
    action: str
    client_id: UUID | None
    client_name: str | None
    target: str | None
    result: Result | None
    address: str | None
    request_id: str | None
    details: dict[str, Any]

    @property
    def position(self) -> tuple[datetime, int]:
        """Where the page after this entry begins."""
        return self.at, self.id


async def list_entries(
    control: ControlDatabase,
    chosen: AuditFilter,
    *,
    limit: int,
    after: tuple[datetime, int] | None = None,
) -> list[AuditEntry]:
    """The newest entries, or those that come after ``after`` (the ``position`` of an entry)."""
    before_at, before_id = after or (None, None)
    rows = await control.fetch_all(
        AUDIT["list_entries"],
        **asdict(chosen),
        before_at=before_at,
        before_id=before_id,
        limit=limit,
    )
    return [AuditEntry(**row) for row in rows]


async def all_entries(control: ControlDatabase, chosen: AuditFilter) -> AsyncIterator[AuditEntry]:
    """All entries that were there when it began, without holding a connection in between."""
    after: tuple[datetime, int] | None = None
    while True:
        page = await list_entries(control, chosen, limit=_ROWS_AT_A_TIME, after=after)
        for entry in page:
            yield entry
        if len(page) < _ROWS_AT_A_TIME:
            return
        after = page[-1].position


async def list_actions(control: ControlDatabase) -> list[str]:
    """Every action that occurs, for a choice of filters."""
    return [row["action"] for row in await control.fetch_all(AUDIT["list_actions"])]


async def list_actors(control: ControlDatabase, *, limit: int = 200) -> list[str]:
    """Actors that occur, for a choice of filters."""
    return [row["actor"] for row in await control.fetch_all(AUDIT["list_actors"], limit=limit)]


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """The entry as the API answers it."""
    return {
        "id": str(entry.id),
        "at": _instant(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "clientId": str(entry.client_id) if entry.client_id else None,
        "clientName": entry.client_name,
        "target": entry.target,
        "result": entry.result,
        "address": entry.address,
        "requestId": entry.request_id,
        "details": entry.details,
    }


def csv_row(entry: AuditEntry) -> list[str]:
    """The entry's cells, in the order of :data:`COLUMNS`; none of them is a formula."""
    document = entry_document(entry)
    document["details"] = json.dumps(entry.details, ensure_ascii=False, sort_keys=True)
    return [_cell(document[column]) for column in COLUMNS]


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
