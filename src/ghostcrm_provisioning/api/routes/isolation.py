"""Whether a client's isolation is proven: have it attacked, read the verdicts, open it again.

An attack takes seconds, has the database's server to itself, and may have to wait for its turn behind
others: so a worker makes it, as a job, and a request that is cut off loses nothing.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.document import (
    Listed,
    failures,
)
from ghostcrm_provisioning.api.documents.doing import (
    Verdict,
    VerificationAsked,
    VerifiedClient,
)
from ghostcrm_provisioning.api.paging import CursorText, Limit, Page, number
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.documents import instant, verdict_document
from ghostcrm_provisioning.clients.verdict import list_verdicts
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/api/admin/clients/{client_id}", tags=["isolation"])

Writer = Annotated[Principal, requires(Scope.CLIENTS_WRITE)]
_ASKED: dict[str, Any] = {
    "status_code": 202,
    "response_model": VerificationAsked,
    "responses": {200: {"model": VerifiedClient}, **failures(404, 409)},
}


@router.get("/verdicts", response_model=Listed[Verdict], responses=failures(404))
async def list_verdicts_on_client(
    client_id: UUID,
    site: TheSite,
    _: Annotated[Principal, requires(Scope.CLIENTS_READ)],
    limit: Limit = 20,
    cursor: CursorText = None,
) -> JSONResponse:
    """What the full attacks on the client's database found, newest first."""
    page = Page.asked_for("verdicts", limit, cursor, client=client_id)
    before = page.after(number)
    async with site.installation.control.connection() as connection:
        await find_client(connection, client_id)
        verdicts = await list_verdicts(connection, client_id, limit=limit + 1, before=before)
    return JSONResponse(
        page.document(
            map(verdict_document, verdicts[:limit]),
            next_place=(verdicts[limit - 1].id,) if len(verdicts) > limit else None,
        )
    )


@router.post("/verify", **_ASKED)
async def verify_client(
    client_id: UUID, site: TheSite, principal: Writer, wait: Wait = 0
) -> JSONResponse:
    """Have the client's database attacked as everybody who must not get in.

    202 with where the verdict will stand. With `?wait=SECONDS`, 200 with the verdict when there is one in
    that time. A proof that fails puts the client into quarantine.
    """
    return await _ask(site, principal, client_id, wait_seconds=wait, release=False)


@router.post("/release", **_ASKED)
async def release_client(
    client_id: UUID, site: TheSite, principal: Writer, wait: Wait = 0
) -> JSONResponse:
    """Have a client in quarantine attacked once more, and opened if, and only if, all is refused.

    Answers as `verify` does; `clientStatus` is `ready` when it was opened.
    """
    return await _ask(site, principal, client_id, wait_seconds=wait, release=True)


async def _ask(
    site: Site, principal: Principal, client_id: UUID, *, wait_seconds: float, release: bool
) -> JSONResponse:
    before = await _latest_verdict(site, client_id)
    client = await site.installation.verifier.ask(
        client_id, requested_by=principal.actor, release=release
    )

    async def look() -> dict[str, Any] | None:
        """What came of it: a verdict that was not there, and a client that is where it leads to."""
        latest = await _latest_verdict(site, client_id)
        if latest is None or latest["id"] == (before or {}).get("id"):
            return None
        is_on_its_way = (latest["clientStatus"] == "quarantined") == latest["holds"]
        if is_on_its_way and (release or not latest["holds"]):
            return None
        return latest

    headers = {"Location": f"/api/admin/clients/{client_id}/verdicts"}
    if wait_seconds > 0:
        seen = await site.announcements.wait_until(look, about=client_id, seconds=wait_seconds)
        if seen is not None:
            return JSONResponse(seen, headers=headers)
    workers = (await site.queue_status.fresh()).standing_workers
    return JSONResponse(
        {
            "clientId": str(client_id),
            "status": client.status,
            "requested": "release" if release else "verification",
            "verdictsUrl": headers["Location"],
            "explanation": "A worker does it; its verdict will be the newest."
            if workers
            else "No workers are running. It is done as soon as one starts.",
        },
        status_code=202,
        headers=headers | {"Retry-After": "2"},
    )


async def _latest_verdict(site: Site, client_id: UUID) -> dict[str, Any] | None:
    async with site.installation.control.connection() as connection:
        client = await find_client(connection, client_id)
        verdicts = await list_verdicts(connection, client_id, limit=1)
    if not verdicts:
        return None
    return verdict_document(verdicts[0]) | {
        "clientName": client.name,
        "clientStatus": client.status,
        "quarantinedAt": instant(client.quarantined_at),
    }
