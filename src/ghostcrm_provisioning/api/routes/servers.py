"""Servers and their room; spares."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.document import (
    Listed,
)
from ghostcrm_provisioning.api.documents.queue import (
    Server,
    Spares,
)
from ghostcrm_provisioning.api.paging import whole_list
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin", tags=["servers"])

Reader = Annotated[Principal, requires(Scope.SERVERS_READ)]


@router.get("/servers", response_model=Listed[Server])
async def list_all_servers(site: TheSite, _: Reader) -> JSONResponse:
    """The servers, and for how many more clients each has room; two seconds old at most, or ten while the
    control database is slow."""
    overview = await site.statistics.overview()
    return JSONResponse(whole_list(server.as_document() for server in overview.servers))


@router.get("/spares", response_model=Spares)
async def list_spares(site: TheSite, _: Reader) -> JSONResponse:
    """Client databases made ahead of demand. This version makes none, and says so."""
    del site
    return JSONResponse(
        whole_list([])
        | {
            "wanted": 0,
            "explanation": "This version makes no spares: every client's database is made when the "
            "client registers.",
        }
    )
