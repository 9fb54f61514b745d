"""Suspending a client, having it back, and deleting it: what each means, seen first, and then having it done."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.clients.client import Client
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
from ghostcrm_provisioning.fleet.lifecycle import delete_client, resume_client, suspend_client
from ghostcrm_provisioning.registrars.lifecycle import AcceptedLifecycleChange
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/clients")

Problems = list[tuple[str | None, str]]


@router.get("/{client_id}/suspend")
async def ask_about_suspension(
    request: Request,
    client_id: UUID,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_WRITE)],
) -> HTMLResponse:
    """What a suspension means."""
    return await _form(request, site, client_id, visit, "suspend")


@router.post("/{client_id}/suspend")
async def suspend(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)],
) -> Response:
    """Nobody gets in from now on."""
    asked = suspend_client(
        site.installation,
        client_id,
        requested_by=submission.principal.actor,
        reason=submission.text("reason"),
        with_export=submission.text("export") == "yes",
    )
    notice = "It is being suspended: nobody is let in any more. This page shows how that goes."
    return await _done(request, site, client_id, submission, "suspend", asked, notice)


@router.post("/{client_id}/resume")
async def resume(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)],
) -> Response:
    """It comes back once it is proven."""
    try:
        await resume_client(site.installation, client_id, requested_by=submission.principal.actor)
    except NotFound:
        raise
    except GhostcrmError as refused:
        return go_to(path_of(client_id), notice=refused.message, tone="warn")
    return go_to(
        path_of(client_id),
        notice="It is being resumed: attacked first, and opened if everything is refused.",
    )


@router.get("/{client_id}/delete")
async def ask_about_deletion(
    request: Request,
    client_id: UUID,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_DELETE)],
) -> HTMLResponse:
    """What a deletion means; the client's name is to be typed, and the visitor's own password."""
    return await _form(request, site, client_id, visit, "delete")


@router.post("/{client_id}/delete")
async def delete(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_DELETE)],
) -> Response:
    """Its database is removed, for ever."""
    view = await look_at_client(site.installation, client_id)
    problems: Problems = []
    if submission.text("confirmation") != view.client.name.strip():
        sentence = "That is not its name; nothing was done. Type it exactly as it is shown."
        problems.append(("confirmation", sentence))
    elif problem := await why_not_confirmed(request, site, submission):
        problems.append(("password", problem))
    if problems:
        return await _form(request, site, client_id, submission.visit, "delete", problems)
    asked = delete_client(
        site.installation,
        client_id,
        confirmed_name=view.client.name,
        requested_by=submission.principal.actor,
        reason=submission.text("reason"),
        with_export=submission.text("export") == "yes",
    )
    notice = "It is being deleted. This page shows how that goes, and what was seen at the end."
    return await _done(request, site, client_id, submission, "delete", asked, notice)


async def _done(
    request: Request,
    site: Site,
    client_id: UUID,
    submission: Submission,
    what: str,
    asked: Awaitable[AcceptedLifecycleChange],
    notice: str,
) -> Response:
    try:
        accepted = await asked
    except NotFound:
        raise
    except GhostcrmError as refused:
        problems: Problems = [(None, f"{refused.message} {refused.next_step}")]
        return await _form(request, site, client_id, submission.visit, what, problems)
    if accepted.run_id is None:
        notice = "It is so already; nothing was done."
    return go_to(path_of(client_id), notice=notice)


async def _form(
    request: Request,
    site: Site,
    client_id: UUID,
    visit: Visit,
    what: str,
    problems: Problems | None = None,
) -> HTMLResponse:
    view = await look_at_client(site.installation, client_id)
    problems = problems or []
    offers = {offer.action.key: offer for offer in view.offers(visit.principal)}
    offer = offers.get(what)
    return render(
        request,
        f"client/{what}.html",
        status_code=422 if problems else 200,
        client=view.client,
        pauses=_pauses(view.client),
        problems=problems,
        wrong={field: problem for field, problem in problems if field},
        is_confirmed=visit.session.is_confirmed,
        why_not=view.situation.why_closed if offer is None else offer.why_not,
    )


def _pauses(client: Client) -> bool:
    """Whether what is suspended does not even run."""
    return client.provider == "supabase"
