"""The queue and the workers: now, and as it changes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.queue import (
    Queue,
)
from ghostcrm_provisioning.api.events import EVENTS, LastEventId, tell_queue
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/queue", tags=["queue"])


@router.get("", response_model=Queue)
async def read_queue(
    site: TheSite, _: Annotated[Principal, requires(Scope.QUEUE_READ)]
) -> JSONResponse:
    """The same as `GET /api/admin/provision-client/status`."""
    return JSONResponse((await site.queue_status.fresh()).as_document())


@router.get("/events", responses=EVENTS, response_class=Response)
async def queue_events(
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.QUEUE_READ)],
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent events named `queue`: the queue whenever it has changed.

    A stream ends after five minutes; an `EventSource` comes back by itself.
    """
    return await tell_queue(site, principal, last_event_id=last_event_id)
