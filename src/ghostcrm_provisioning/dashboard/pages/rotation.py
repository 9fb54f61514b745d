"""Exchanging what opens a client's database: what it means, seen first, and then having it done."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.dashboard.client_view import look_at_client
from ghostcrm_provisioning.dashboard.pages.client import path_of
from ghostcrm_provisioning.dashboard.rendering import go_to, render
from ghostcrm_provisioning.dashboard.signing_in import (
    Submission,
    Visit,
    form_for,
    page_for,
    why_not_confirmed,
)
from ghostcrm_provisioning.errors import GhostcrmError, NotFound
from ghostcrm_provisioning.fleet.rotating import rotate_credentials
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/clients")

Problems = list[tuple[str | None, str]]
_CHOICES = ("passwords", "keys", "legacy_keys", "end_sessions")


@router.get("/{client_id}/rotate")
async def ask_about_rotation(
    request: Request,
    client_id: UUID,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_CONNECT)],
) -> HTMLResponse:
    """What an exchange means, and the visitor's own password."""
    return await _form(request, site, client_id, visit)


@router.post("/{client_id}/rotate")
async def rotate(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_CONNECT)],
) -> Response:
    """The old ones open nothing, as soon as the new ones do."""
    chosen = {each: submission.text(each) == "yes" for each in _CHOICES}
    problems: Problems = []
    if not (chosen["passwords"] or chosen["keys"]):
        problems.append((None, "Choose what is to be exchanged: passwords, keys, or both."))
    elif problem := await why_not_confirmed(request, site, submission):
        problems.append(("password", problem))
    if not problems:
        try:
            await rotate_credentials(
                site.installation,
                client_id,
                requested_by=submission.principal.actor,
                reason=submission.text("reason"),
                **chosen,
            )
        except NotFound:
            raise
        except GhostcrmError as refused:
            problems.append((None, f"{refused.message} {refused.next_step}"))
    if problems:
        return await _form(
            request,
            site,
            client_id,
            submission.visit,
            problems,
            chosen=chosen,
            reason=submission.text("reason"),
        )
    return go_to(
        path_of(client_id),
        notice="Its credentials are being exchanged. This page shows how that goes; its connection has the new ones.",
    )


async def _form(
    request: Request,
    site: Site,
    client_id: UUID,
    visit: Visit,
    problems: Problems | None = None,
    *,
    chosen: dict[str, bool] | None = None,
    reason: str = "",
) -> HTMLResponse:
    view = await look_at_client(site.installation, client_id)
    problems = problems or []
    offers = {offer.action.key: offer for offer in view.offers(visit.principal)}
    offer = offers.get("rotate")
    return render(
        request,
        "client/rotate.html",
        status_code=422 if problems else 200,
        client=view.client,
        is_project=view.client.provider == "supabase",
        chosen=chosen or {"passwords": True, "keys": True},
        reason=reason,
        problems=problems,
        wrong={field: problem for field, problem in problems if field},
        is_confirmed=visit.session.is_confirmed,
        why_not=view.situation.why_closed if offer is None else offer.why_not,
    )
