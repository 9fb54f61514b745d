"""What is told as it happens: the steps of a run, and the queue. How it is told is in ``web/streams.py``;
the dashboard begins the same streams, for whoever has signed in.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Header
from fastapi.responses import Response

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.clients.description import describe_run
from ghostcrm_provisioning.web.site import Site
from ghostcrm_provisioning.web.streams import Look

# Every step of every run changes the queue; nobody reads that fast.
_QUEUE_DEBOUNCE_SECONDS = 0.5

LastEventId = Annotated[
    str | None,
    Header(max_length=100, description="The id of the last event that you have."),
]
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "You have the last event already."},
}


async def tell_run(
    site: Site, principal: Principal, run_id: UUID, *, last_event_id: str | None
) -> Response:
    """Events ``run``, each the run with its steps, until it has ended; then ``end``.

    Raises:
        NotFound: there is no such run.
        TooManyStreams.
    """

    async def look() -> Look:
        async with site.installation.control.connection() as connection:
            run, document = await describe_run(connection, run_id)
        return Look(document, is_last=run.is_finished)

    return await site.streams.begin(
        look, event="run", principal=principal, about=run_id, last_event_id=last_event_id
    )


async def tell_queue(site: Site, principal: Principal, *, last_event_id: str | None) -> Response:
    """Events ``queue``, each the queue as ``ghostcrm queue status --json`` prints it.

    Raises:
        TooManyStreams.
    """

    async def look() -> Look:
        # Read once for all who watch.
        return Look((await site.queue_status.fresh()).as_document())

    return await site.streams.begin(
        look,
        event="queue",
        principal=principal,
        last_event_id=last_event_id,
        debounce_seconds=_QUEUE_DEBOUNCE_SECONDS,
    )
