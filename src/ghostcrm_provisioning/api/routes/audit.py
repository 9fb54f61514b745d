"""The audit log: who did what, from where, with what result; a page at a time, or all of it as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.access import (
    AuditEntry,
)
from ghostcrm_provisioning.api.documents.document import (
    Listed,
)
from ghostcrm_provisioning.api.paging import CursorText, Limit, Page, moment_and_number
from ghostcrm_provisioning.api.parameters import Moment, Name
from ghostcrm_provisioning.audit.listing import (
    COLUMNS,
    AuditFilter,
    all_entries,
    csv_row,
    entry_document,
    list_entries,
)
from ghostcrm_provisioning.audit.record import Result, record
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/api/admin/audit", tags=["audit"])


class Format(StrEnum):
    """A page of entries, or all that are chosen as CSV."""

    JSON = "json"
    CSV = "csv"


@router.get(
    "",
    response_model=Listed[AuditEntry],
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def read_audit_log(
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.AUDIT_READ)],
    since: Annotated[Moment | None, Query(description="Included.")] = None,
    until: Annotated[Moment | None, Query(description="Not included.")] = None,
    actor: Name | None = None,
    action: Name | None = None,
    client_id: Annotated[UUID | None, Query(alias="clientId")] = None,
    result: Result | None = None,
    address: Name | None = None,
    request_id: Annotated[Name | None, Query(alias="requestId")] = None,
    format_: Annotated[Format, Query(alias="format")] = Format.JSON,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """Entries, newest first. With `?format=csv`, all that the filters choose; that is itself audited."""
    filters: dict[str, Any] = {
        "since": since,
        "until": until,
        "actor": actor,
        "action": action,
        "client_id": client_id,
        "result": result,
        "address": address,
        "request_id": request_id,
    }
    chosen = AuditFilter(**filters)
    if format_ is Format.CSV:
        return await _export(site, principal, chosen)
    page = Page.asked_for("audit", limit, cursor, **filters)
    entries = await list_entries(
        site.installation.control, chosen, limit=limit + 1, after=page.after(moment_and_number)
    )
    return JSONResponse(
        page.document(
            map(entry_document, entries[:limit]),
            next_place=entries[limit - 1].position if len(entries) > limit else None,
        )
    )


async def _export(site: Site, principal: Principal, chosen: AuditFilter) -> Response:
    async with site.installation.control.connection() as connection:
        await record(connection, actor=principal.actor, action="audit.exported")

    async def lines() -> AsyncIterator[str]:
        yield _line(COLUMNS)
        async for entry in all_entries(site.installation.control, chosen):
            yield _line(csv_row(entry))

    return StreamingResponse(
        lines(),
        media_type="text/csv",
        headers={
            "Content-Disposition": 'attachment; filename="audit.csv"',
            "Cache-Control": "no-store",
        },
    )


def _line(cells: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
