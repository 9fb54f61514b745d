"""The audit log: who did what, from where, with what result; filtered, page by page, or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, get_args
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.audit.listing import (
    COLUMNS,
    AuditEntry,
    AuditFilter,
    all_entries,
    csv_row,
    list_actions,
    list_actors,
    list_entries,
)
from ghostcrm_provisioning.audit.record import Result, record
from ghostcrm_provisioning.dashboard.rendering import PREFIX, render
from ghostcrm_provisioning.dashboard.signing_in import Visit, page_for
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter()

_ROWS = 50
_RESULTS: tuple[Result, ...] = get_args(Result)
# The fields of the filter form, as they stand in the address.
_FIELDS = ("since", "until", "actor", "action", "client", "result", "address", "request")
_LONGEST_FIELD = 300


@dataclass(frozen=True)
class Asked:
    """What the address asks for: as it was typed, as a filter, and what of it cannot be read."""

    fields: dict[str, str]
    chosen: AuditFilter
    problems: list[tuple[str | None, str]]
    after: tuple[datetime, int] | None

    @property
    def query(self) -> str:
        """The filters, for links that keep them."""
        return urlencode(self.fields)


@router.get("/audit")
async def audit_page(
    request: Request, site: TheSite, visit: Annotated[Visit, page_for(Scope.AUDIT_READ)]
) -> Response:
    """A page of the log."""
    asked = _asked(request)
    control = site.installation.control
    entries: list[AuditEntry] = []
    if not asked.problems:
        entries = await list_entries(control, asked.chosen, limit=_ROWS + 1, after=asked.after)
    has_more, entries = len(entries) > _ROWS, entries[:_ROWS]
    next_href = None
    if has_more:
        place = {"after": _written(entries[-1].position)}
        next_href = f"{PREFIX}/audit?{urlencode(asked.fields | place)}"
    return render(
        request,
        "audit.html",
        status_code=422 if asked.problems else 200,
        entries=entries,
        asked=asked,
        next_href=next_href,
        first_href=f"{PREFIX}/audit?{asked.query}" if asked.after else None,
        results=_RESULTS,
        actions=await list_actions(control),
        actors=await list_actors(control),
        shown_details=_shown_details,
    )


@router.get("/audit.csv")
async def audit_csv(
    request: Request, site: TheSite, visit: Annotated[Visit, page_for(Scope.AUDIT_READ)]
) -> Response:
    """All entries of these filters, for a spreadsheet."""
    asked = _asked(request)
    if asked.problems:
        return await audit_page(request, site, visit)
    async with site.installation.control.connection() as connection:
        await record(connection, actor=visit.principal.actor, action="audit.exported")
    return StreamingResponse(
        _lines(all_entries(site.installation.control, asked.chosen)),
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="audit-{datetime.now(UTC):%Y-%m-%d}.csv"'
        },
    )


async def _lines(entries: AsyncIterator[AuditEntry]) -> AsyncIterator[str]:
    yield _line(list(COLUMNS))
    async for entry in entries:
        yield _line(csv_row(entry))


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _asked(request: Request) -> Asked:
    fields = {
        name: value
        for name in _FIELDS
        if (value := request.query_params.get(name, "").strip()[:_LONGEST_FIELD])
    }
    problems: list[tuple[str | None, str]] = []
    since = _day(fields, "since", problems)
    until = _day(fields, "until", problems)
    client_id = None
    if "client" in fields:
        try:
            client_id = UUID(fields["client"])
        except ValueError:
            problems.append(("client", "A client's id is a UUID, as its page shows it."))
    result = next((known for known in _RESULTS if known == fields.get("result")), None)
    if "result" in fields and result is None:
        problems.append(("result", f"A result is one of {', '.join(_RESULTS)}."))
    after = None
    if (place := request.query_params.get("after")) is not None:
        after = _read(place)
        if after is None:
            problems.append((None, "The page after which to go on cannot be read."))
    return Asked(
        fields,
        AuditFilter(
            since=since,
            # The day that is named counts as a whole.
            until=None if until is None else until + timedelta(days=1),
            actor=fields.get("actor"),
            action=fields.get("action"),
            client_id=client_id,
            result=result,
            address=fields.get("address"),
            request_id=fields.get("request"),
        ),
        problems,
        after,
    )


def _day(
    fields: dict[str, str], name: str, problems: list[tuple[str | None, str]]
) -> datetime | None:
    if name not in fields:
        return None
    try:
        day = datetime.strptime(fields[name], "%Y-%m-%d").date()  # noqa: DTZ007 - a day, made UTC below
        # The end of the day is looked for too.
        day + timedelta(days=1)
        return datetime.combine(day, time(), UTC)
    except (ValueError, OverflowError):
        problems.append((name, "A day is written like 2026-11-29."))
        return None


def _written(position: tuple[datetime, int]) -> str:
    moment, number = position
    return f"{moment.astimezone(UTC).isoformat()}~{number}"


def _read(place: str) -> tuple[datetime, int] | None:
    moment, _, number = place.partition("~")
    try:
        when = datetime.fromisoformat(moment)
        which = int(number)
    except ValueError:
        return None
    return (when, which) if when.tzinfo is not None and 0 <= which < 2**63 else None


def _shown_details(entry: AuditEntry) -> list[tuple[str, str]]:
    """The details as names and texts, in words where they can be."""
    return [(_name(name), _text(value)) for name, value in entry.details.items()]


def _name(name: str) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return words.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, dict):
        return "; ".join(f"{_name(str(name))}: {_text(part)}" for name, part in value.items())
    if isinstance(value, bool):  # 1 is equal to True, and is a number all the same
        return "yes" if value else "no"
    return "none" if value is None else str(value)
