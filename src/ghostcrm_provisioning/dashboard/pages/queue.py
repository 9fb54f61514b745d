"""The queue: what is being worked on, what waits and until when, what has failed, and who works."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.dashboard.queue_view import kind_title, look_at_queue, step_title
from ghostcrm_provisioning.dashboard.rendering import PREFIX, go_to, render
from ghostcrm_provisioning.dashboard.signing_in import Submission, Visit, form_for, page_for
from ghostcrm_provisioning.errors import Conflict, NotFound
from ghostcrm_provisioning.registration_form import check_identifier
from ghostcrm_provisioning.web.site import TheSite
from ghostcrm_provisioning.web.streams import Look

router = APIRouter(prefix="/queue")

_MOST_AT_ONCE = 100


@router.get("")
async def page(
    request: Request, site: TheSite, visit: Annotated[Visit, page_for(Scope.QUEUE_READ)]
) -> HTMLResponse:
    """The queue as it is now."""
    view = await look_at_queue(site)
    return render(
        request,
        "queue/page.html",
        view=view,
        status=view.status,
        settings=site.installation.settings,
        may_read_clients=visit.principal.may(Scope.CLIENTS_READ),
        may_retry=visit.principal.may(Scope.CLIENTS_WRITE),
        step_title=step_title,
        kind_title=kind_title,
        attention=view.tone == "bad",
    )


@router.get("/events")
async def events(
    request: Request,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.QUEUE_READ)],
    seen: str | None = None,
) -> Response:
    """Says when the page is not what it was any more."""

    async def look() -> Look:
        return Look({"version": (await look_at_queue(site)).version})

    known = request.headers.get("last-event-id") or (
        None if seen is None else Look({"version": seen}).digest
    )
    return await site.streams.begin(
        look, event="changed", principal=visit.principal, last_event_id=known
    )


@router.post("/retry")
async def retry(
    site: TheSite, submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)]
) -> RedirectResponse:
    """Retry the runs of the clients that are named, one after the other; each is its own retry."""
    retried, refused = 0, 0
    for text in dict.fromkeys(submission.texts("client")[:_MOST_AT_ONCE]):
        client_id: UUID = check_identifier(text)
        try:
            await site.installation.registrar.retry(
                client_id, requested_by=submission.principal.actor
            )
            retried += 1
        except (Conflict, NotFound):
            refused += 1
    notice = f"{retried} run{'' if retried == 1 else 's'} will be tried again."
    if refused:
        notice += f" {refused} had nothing to retry: it goes on, or was done, already."
    return go_to(f"{PREFIX}/queue", notice=notice, tone="ok" if retried else "warn")
