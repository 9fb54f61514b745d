"""Runs: what was, and is being, done for clients."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.document import (
    Listed,
    RunKind,
    RunStatus,
    failures,
)
from ghostcrm_provisioning.api.documents.runs import (
    Run,
    RunWithSteps,
)
from ghostcrm_provisioning.api.events import EVENTS, LastEventId, tell_run
from ghostcrm_provisioning.api.paging import CursorText, Limit, Page, key_of, place_of
from ghostcrm_provisioning.clients.description import describe_run
from ghostcrm_provisioning.clients.documents import run_row_document
from ghostcrm_provisioning.clients.run_listing import RunFilter, list_runs
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/runs", tags=["runs"])


@router.get("", response_model=Listed[Run])
async def list_all_runs(
    site: TheSite,
    _: Annotated[Principal, requires(Scope.CLIENTS_READ)],
    status: Annotated[list[RunStatus], Query(max_length=5)] = [],  # noqa: B006 - FastAPI copies
    kind: Annotated[list[RunKind], Query(max_length=5)] = [],  # noqa: B006
    limit: Limit = 50,
    cursor: CursorText = None,
) -> JSONResponse:
    """Runs of all clients, newest first. A filter may be given several times: any of its values will
    do."""
    wanted = RunFilter(tuple(status), tuple(kind))
    page = Page.asked_for("runs", limit, cursor, **asdict(wanted))
    after = page.after(place_of)
    async with site.installation.control.connection() as connection:
        found = await list_runs(connection, wanted, limit=limit, after=after)
    return JSONResponse(
        page.document(map(run_row_document, found.rows), next_place=key_of(found.next_place))
    )


@router.get("/{run_id}", response_model=RunWithSteps, responses=failures(404))
async def read_run(
    run_id: UUID, site: TheSite, _: Annotated[Principal, requires(Scope.CLIENTS_READ)]
) -> JSONResponse:
    """One run with its steps."""
    async with site.installation.control.connection() as connection:
        _run, document = await describe_run(connection, run_id)
    return JSONResponse(document)


@router.get("/{run_id}/events", responses=EVENTS | failures(404), response_class=Response)
async def run_events(
    run_id: UUID,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_READ)],
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent events named `run`: the run with its steps, whenever one has changed, until it has
    ended; then one named `end`, at which you close the stream. Whoever comes back with the last event's
    id gets 204: there is nothing more to tell.
    """
    return await tell_run(site, principal, run_id, last_event_id=last_event_id)
