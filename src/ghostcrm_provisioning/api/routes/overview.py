"""How everything stands: what needs attention, numbers, how long registrations take, why they fail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.overview import (
    Overview,
)
from ghostcrm_provisioning.statistics.time_to_ready import Window
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/overview", tags=["overview"])

# What stands here as well, and needs another scope.
_PARTS_OF_OTHERS = {
    "queue": Scope.QUEUE_READ,
    "workers": Scope.QUEUE_READ,
    "servers": Scope.SERVERS_READ,
}


@router.get("", response_model=Overview)
async def read_overview(
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_READ)],
    window: Window = Window.DAY,
) -> JSONResponse:
    """What needs attention, clients by status, queue, workers, servers, recent operations; and over the
    window how long registrations took and why some failed. Two seconds old at most, or ten while
    the control database is slow."""
    overview = await site.statistics.overview()
    time_to_ready = await site.statistics.time_to_ready(window)
    failures = await site.statistics.failures(window)
    document = overview.as_document() | {
        "timeToReady": time_to_ready.as_document(),
        "failures": failures.as_document(),
    }
    for part, scope in _PARTS_OF_OTHERS.items():
        if not principal.may(scope):
            document[part] = None
    return JSONResponse(document)
