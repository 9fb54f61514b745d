"""One client: why it is not ready, its runs step by step, and what can be done for it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.audit.listing import AuditEntry, AuditFilter, list_entries
from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.dashboard.client_view import (
    ClientView,
    attacks_of,
    blueprint_of,
    details_of,
    look_at_client,
)
from ghostcrm_provisioning.dashboard.rendering import PREFIX, go_to, render
from ghostcrm_provisioning.dashboard.shown_once import shown_once_of
from ghostcrm_provisioning.dashboard.signing_in import Submission, Visit, form_for, page_for
from ghostcrm_provisioning.dashboard.words import FAILED, UNDER_WAY
from ghostcrm_provisioning.errors import Conflict
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS
from ghostcrm_provisioning.web.site import Site, TheSite
from ghostcrm_provisioning.web.streams import Look

router = APIRouter(prefix="/clients")

_MOST_AUDIT_LINES = 12


def path_of(client_id: UUID) -> str:
    """The page of a client."""
    return f"{PREFIX}/clients/{client_id}"


@router.get("/{client_id}")
async def page(
    request: Request,
    client_id: UUID,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_READ)],
    run: UUID | None = None,
) -> HTMLResponse:
    """A client's page; with ``run``, one of its older runs is looked at."""
    view = await look_at_client(site.installation, client_id, run_id=run)
    blueprint = await blueprint_of(view.client)
    once = None
    if "x-live" not in request.headers:  # a live update shows nothing once
        once = shown_once_of(request).take(visit.session.id, client_id)
    return render(
        request,
        "client/page.html",
        view=view,
        offers=view.offers(visit.principal),
        blueprint=blueprint,
        plan_titles=titles_of_plans(blueprint),
        titles={kind: workflow.title for kind, workflow in WORKFLOWS.items()},
        under_way_words=UNDER_WAY,
        failed_words=FAILED,
        audit=await _audit_of(site, client_id) if visit.principal.may(Scope.AUDIT_READ) else None,
        once=once,
        attacks_of=attacks_of,
        details_of=details_of,
        attention=view.needs_attention,
    )


@router.get("/{client_id}/events")
async def events(
    request: Request,
    client_id: UUID,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_READ)],
    seen: str | None = None,
    run: UUID | None = None,
) -> Response:
    """Says when the page is not what it was any more."""

    async def look() -> Look:
        view = await look_at_client(site.installation, client_id, run_id=run)
        return Look({"version": view.version})

    known = request.headers.get("last-event-id") or (
        None if seen is None else Look({"version": seen}).digest
    )
    return await site.streams.begin(
        look, event="changed", principal=visit.principal, last_event_id=known
    )


@router.post("/{client_id}/retry")
async def retry(
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)],
) -> RedirectResponse:
    """The failed run goes on where it stopped."""
    registrar = site.installation.registrar
    try:
        await registrar.retry(client_id, requested_by=submission.principal.actor)
    except Conflict as refused:
        return go_to(path_of(client_id), notice=refused.message, tone="warn")
    return go_to(
        path_of(client_id),
        notice="The run goes on at the step that failed. This page shows how it does.",
    )


@router.post("/{client_id}/verify")
async def verify(
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)],
) -> RedirectResponse:
    """A worker attacks its database; the page tells what comes of it."""
    return await _ask_a_worker(site, client_id, submission, release=False)


@router.get("/{client_id}/release")
async def ask_about_release(
    request: Request,
    client_id: UUID,
    site: TheSite,
    _: Annotated[Visit, page_for(Scope.CLIENTS_WRITE)],
) -> HTMLResponse:
    """What a release means; the client's name is to be typed."""
    view = await look_at_client(site.installation, client_id)
    return _ask_about_release(request, view)


@router.post("/{client_id}/release")
async def release(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)],
) -> Response:
    """Attacked once more, and opened only if the proof holds."""
    view = await look_at_client(site.installation, client_id)
    if submission.text("confirmation") != view.client.name.strip():
        problem = "That is not its name; nothing was done. Type it exactly as it is shown."
        return _ask_about_release(request, view, [("confirmation", problem)], status_code=422)
    return await _ask_a_worker(site, client_id, submission, release=True)


async def _ask_a_worker(
    site: Site, client_id: UUID, submission: Submission, *, release: bool
) -> RedirectResponse:
    try:
        await site.installation.verifier.ask(
            client_id, requested_by=submission.principal.actor, release=release
        )
    except Conflict as refused:
        return go_to(path_of(client_id), notice=refused.message, tone="warn")
    notice = (
        "A worker attacks its database once more, and opens it if everything is refused."
        if release
        else "A worker attacks its database. This page tells what comes of it."
    )
    return go_to(f"{path_of(client_id)}#isolation", notice=notice)


def _ask_about_release(
    request: Request,
    view: ClientView,
    problems: list[tuple[str | None, str]] | None = None,
    *,
    status_code: int = 200,
) -> HTMLResponse:
    return render(
        request,
        "client/release.html",
        status_code=status_code,
        client=view.client,
        view=view,
        problems=problems or [],
        why_not=None if view.situation.is_quarantined else "It is not in quarantine.",
    )


async def _audit_of(site: Site, client_id: UUID) -> list[AuditEntry]:
    control = site.installation.control
    return await list_entries(control, AuditFilter(client_id=client_id), limit=_MOST_AUDIT_LINES)


def titles_of_plans(blueprint: Blueprint | None) -> dict[str, str]:
    """What plans are called."""
    return {} if blueprint is None else {name: plan.title for name, plan in blueprint.plans.items()}
