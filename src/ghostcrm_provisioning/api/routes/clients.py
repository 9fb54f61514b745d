"""Clients: list, read, why one is not ready, and what was done for one."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait, answer_accepted, explanation_of
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents import (
    Accepted,
    Client,
    Explanation,
    Listed,
    ProvisionedClient,
    Run,
    RunInTimeline,
    failures,
)
from ghostcrm_provisioning.api.paging import CursorText, Limit, Page, moment_and_id
from ghostcrm_provisioning.clients.description import describe_client
from ghostcrm_provisioning.clients.run_history import (
    ListedRun,
    list_runs_of_client,
    list_timeline,
)
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/clients", tags=["clients"])

Reader = Annotated[Principal, requires(Scope.CLIENTS_READ)]


@router.get("/{client_id}", response_model=Client, responses=failures(404))
async def read_client(client_id: UUID, site: TheSite, _: Reader) -> JSONResponse:
    """One client with its latest run."""
    async with site.installation.control.connection() as connection:
        _client, _run, document = await describe_client(connection, client_id)
    return JSONResponse(document)


@router.get("/{client_id}/explain", response_model=Explanation, responses=failures(404))
async def explain_client(client_id: UUID, site: TheSite, _: Reader) -> JSONResponse:
    """Why the client is not ready: step, cause, next attempt, and what to do."""
    explanation = await explanation_of(site, client_id)
    path = f"/api/admin/clients/{client_id}/{explanation.remedy}"
    request = None if explanation.remedy is None else {"method": "POST", "path": path}
    return JSONResponse(explanation.as_document() | {"nextRequest": request})


@router.get("/{client_id}/runs", response_model=Listed[Run], responses=failures(404))
async def list_runs_of_one(
    client_id: UUID, site: TheSite, _: Reader, limit: Limit = 50, cursor: CursorText = None
) -> JSONResponse:
    """What was done for the client, newest first."""
    page = Page.asked_for("runs of client", limit, cursor, client=client_id)
    async with site.installation.control.connection() as connection:
        runs = await list_runs_of_client(
            connection, client_id, limit=page.one_more, before=page.after(moment_and_id)
        )
    return JSONResponse(
        page.answer(runs, place=lambda listed: listed.position, document=ListedRun.as_document)
    )


@router.get("/{client_id}/timeline", response_model=Listed[RunInTimeline], responses=failures(404))
async def read_timeline(
    client_id: UUID, site: TheSite, _: Reader, limit: Limit = 10, cursor: CursorText = None
) -> JSONResponse:
    """The same with every step, and every attempt at it: who tried it, when, and how it ended."""
    page = Page.asked_for("timeline", limit, cursor, client=client_id)
    async with site.installation.control.connection() as connection:
        runs = await list_timeline(
            connection, client_id, limit=page.one_more, before=page.after(moment_and_id)
        )
    return JSONResponse(
        page.answer(runs, place=lambda listed: listed.position, document=ListedRun.as_timeline)
    )


@router.post(
    "/{client_id}/retry",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(404, 409)},
)
async def retry_client(
    client_id: UUID,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_WRITE)],
    wait: Wait = 0,
) -> JSONResponse:
    """Have a failed run go on where it stopped, with all its attempts anew."""
    run = await site.installation.registrar.retry(client_id, requested_by=principal.actor)
    return await answer_accepted(site, client_id, run.id, created=True, wait_seconds=wait)
