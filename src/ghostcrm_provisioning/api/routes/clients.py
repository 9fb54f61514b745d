"""Clients: list, read, why one is not ready, and what was done for one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait, answer_accepted
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.clients import (
    Accepted,
    Client,
    ClientRow,
    Explanation,
    ProvisionedClient,
)
from ghostcrm_provisioning.api.documents.document import (
    ClientStatus,
    Listed,
    failures,
)
from ghostcrm_provisioning.api.documents.runs import (
    Run,
    RunWithSteps,
)
from ghostcrm_provisioning.api.paging import CursorText, Limit, Page, key_of, place_of
from ghostcrm_provisioning.api.parameters import Name
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.description import describe_client
from ghostcrm_provisioning.clients.documents import (
    client_row_document,
    run_row_document,
    run_timeline_document,
)
from ghostcrm_provisioning.clients.listing import ClientFilter, list_clients
from ghostcrm_provisioning.clients.run_listing import RunFilter, list_runs, read_timeline
from ghostcrm_provisioning.fleet.lifecycle import explain_as_seen
from ghostcrm_provisioning.registration_form import LONGEST_NAME
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/clients", tags=["clients"])

Reader = Annotated[Principal, requires(Scope.CLIENTS_READ)]


@router.get("", response_model=Listed[ClientRow])
async def list_all_clients(
    site: TheSite,
    _: Reader,
    search: Annotated[
        str,
        Query(
            max_length=LONGEST_NAME,
            pattern=r"^[^\x00]*$",
            description="Words with which words of the name, or of the admin's email, begin; or the "
            "beginning of an id.",
            examples=["acme"],
        ),
    ] = "",
    status: Annotated[list[ClientStatus], Query(max_length=8)] = [],  # noqa: B006 - FastAPI copies
    plan: Annotated[list[Name], Query(max_length=10)] = [],  # noqa: B006
    region: Annotated[list[Name], Query(max_length=10)] = [],  # noqa: B006
    server: Annotated[list[Name], Query(max_length=10)] = [],  # noqa: B006
    with_deleted: Annotated[
        bool,
        Query(
            alias="withDeleted",
            description="Those that were deleted, too. Without it, only `status=deleted` lists them.",
        ),
    ] = False,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> JSONResponse:
    """Clients, newest first, without those that were deleted. A filter may be given several times: any of
    its values will do."""
    wanted = ClientFilter(
        search, tuple(status), tuple(plan), tuple(region), tuple(server), with_deleted
    )
    page = Page.asked_for("clients", limit, cursor, **asdict(wanted))
    after = page.after(place_of)
    async with site.installation.control.connection() as connection:
        found = await list_clients(connection, wanted, limit=limit, after=after)
    return JSONResponse(
        page.document(map(client_row_document, found.rows), next_place=key_of(found.next_place))
    )


@router.get("/{client_id}", response_model=Client, responses=failures(404))
async def read_client(client_id: UUID, site: TheSite, _: Reader) -> JSONResponse:
    """One client with its latest run."""
    async with site.installation.control.connection() as connection:
        _client, _run, document = await describe_client(connection, client_id)
    return JSONResponse(document)


@router.get("/{client_id}/explain", response_model=Explanation, responses=failures(404))
async def explain_client(client_id: UUID, site: TheSite, _: Reader) -> JSONResponse:
    """Why the client is not ready: step, cause, next attempt, and what to do."""
    explanation = await explain_as_seen(site.installation, client_id)
    path = f"/api/admin/clients/{client_id}/{explanation.remedy}"
    request = None if explanation.remedy is None else {"method": "POST", "path": path}
    return JSONResponse(explanation.as_document() | {"nextRequest": request})


@router.get("/{client_id}/runs", response_model=Listed[Run], responses=failures(404))
async def list_runs_of_one(
    client_id: UUID, site: TheSite, _: Reader, limit: Limit = 50, cursor: CursorText = None
) -> JSONResponse:
    """What was done for the client, newest first."""
    page = Page.asked_for("runs of client", limit, cursor, client=client_id)
    after = page.after(place_of)
    async with site.installation.control.connection() as connection:
        await find_client(connection, client_id)
        found = await list_runs(
            connection, RunFilter(client_id=client_id), limit=limit, after=after
        )
    return JSONResponse(
        page.document(map(run_row_document, found.rows), next_place=key_of(found.next_place))
    )


@router.get("/{client_id}/timeline", response_model=Listed[RunWithSteps], responses=failures(404))
async def read_timeline_of_one(
    client_id: UUID, site: TheSite, _: Reader, limit: Limit = 10, cursor: CursorText = None
) -> JSONResponse:
    """The same with every step, and every attempt at it: who tried it, when, and how it ended."""
    page = Page.asked_for("timeline", limit, cursor, client=client_id)
    after = page.after(place_of)
    async with site.installation.control.connection() as connection:
        await find_client(connection, client_id)
        found = await read_timeline(connection, client_id, limit=limit, after=after)
    return JSONResponse(
        page.document(map(run_timeline_document, found.runs), next_place=key_of(found.next_place))
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
