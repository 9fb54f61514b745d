"""A client's connection and its admin's password: shown after the visitor's own password was given again,
with a reason, to be read for a short while, and audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.client_database.roles import APPLICATION, CLIENT_LOGIN_ROLES
from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.connecting import connect_to, reset_admin_password
from ghostcrm_provisioning.dashboard.pages.client import path_of
from ghostcrm_provisioning.dashboard.rendering import go_to, render
from ghostcrm_provisioning.dashboard.shown_once import Once, shown_once_of
from ghostcrm_provisioning.dashboard.signing_in import (
    Submission,
    Visit,
    form_for,
    page_for,
    why_not_confirmed,
)
from ghostcrm_provisioning.errors import (
    Conflict,
    GhostcrmError,
)
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/clients")

SHOWN_SECONDS = 30
_LONGEST_REASON = 500  # characters
_SHORTEST_REASON = 3

_ROLES = [(role.key, role.purpose) for role in CLIENT_LOGIN_ROLES]
Problems = list[tuple[str | None, str]]


@router.get("/{client_id}/connection")
async def ask(
    request: Request,
    client_id: UUID,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_CONNECT)],
) -> HTMLResponse:
    """As whom, why, and the visitor's password."""
    return _form(request, await _find(site, client_id), visit)


@router.post("/{client_id}/connection")
async def reveal(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_CONNECT)],
) -> Response:
    """The connection, for half a minute. It is the answer to the form itself: it stands in no address,
    and nothing keeps it."""
    client = await _find(site, client_id)
    role, reason = submission.text("role") or APPLICATION, submission.text("reason")
    problems = await _problems(request, site, submission, reason)
    if not problems:
        try:
            connection = await connect_to(
                site.installation,
                client_id,
                role=role,
                requested_by=submission.principal.actor,
                reason=reason,
            )
        except Conflict as refused:
            problems = [(None, refused.message)]
        else:
            return render(
                request,
                "client/connection_shown.html",
                client=client,
                role=role,
                connection=connection,
                seconds=SHOWN_SECONDS,
                hidden_at=datetime.now(UTC) + timedelta(seconds=SHOWN_SECONDS),
            )
    return _form(request, client, submission.visit, problems, role=role, reason=reason)


@router.get("/{client_id}/admin-password")
async def ask_about_admin_password(
    request: Request,
    client_id: UUID,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_CONNECT)],
) -> HTMLResponse:
    """What a new password means, and the visitor's own."""
    return _password_form(request, await _find(site, client_id), visit)


@router.post("/{client_id}/admin-password")
async def make_admin_password(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_CONNECT)],
) -> Response:
    """A new temporary password, shown once on the client's page."""
    client = await _find(site, client_id)
    reason = submission.text("reason")
    problems = await _problems(request, site, submission, reason)
    if not problems:
        try:
            password = await reset_admin_password(
                site.installation,
                client_id,
                requested_by=submission.principal.actor,
                reason=reason,
            )
        except GhostcrmError as refused:
            problems = [(None, f"{refused.message} {refused.next_step}")]
        else:
            shown_once_of(request).put(
                submission.visit.session.id,
                client_id,
                Once("The new temporary password of its admin", password),
            )
            return go_to(path_of(client_id))
    return _password_form(request, client, submission.visit, problems, reason=reason)


async def _problems(request: Request, site: Site, submission: Submission, reason: str) -> Problems:
    """What is missing before anything is shown: a reason, and that it is the owner of the session."""
    if not _SHORTEST_REASON <= len(reason) <= _LONGEST_REASON or not reason.isprintable():
        return [("reason", "Say in a few words what it is needed for: the audit log keeps it.")]
    if problem := await why_not_confirmed(request, site, submission):
        return [("password", problem)]
    return []


async def _find(site: Site, client_id: UUID) -> Client:
    async with site.installation.control.connection() as connection:
        return await find_client(connection, client_id)


def _why_not(client: Client) -> str | None:
    if "quarantined" in {client.status, client.wanted_status}:
        return "It is in quarantine: its isolation is not proven, so nobody is let in."
    if {"suspended", "deleted"} & {client.status, client.wanted_status}:
        return "It is suspended or deleted, or on its way there: nobody is let in."
    if client.status != "ready":
        return (
            f"It is not ready ({client.status}): nobody is let in before its isolation is proven."
        )
    return None


def _form(
    request: Request,
    client: Client,
    visit: Visit,
    problems: Problems | None = None,
    *,
    role: str = APPLICATION,
    reason: str = "",
) -> HTMLResponse:
    return render(
        request,
        "client/connection.html",
        status_code=422 if problems else 200,
        client=client,
        roles=_ROLES,
        role=role,
        reason=reason,
        problems=problems or [],
        wrong=dict(problems or []),
        is_confirmed=visit.session.is_confirmed,
        why_not=_why_not(client),
        seconds=SHOWN_SECONDS,
    )


def _password_form(
    request: Request,
    client: Client,
    visit: Visit,
    problems: Problems | None = None,
    *,
    reason: str = "",
) -> HTMLResponse:
    return render(
        request,
        "client/admin_password.html",
        status_code=422 if problems else 200,
        client=client,
        reason=reason,
        problems=problems or [],
        wrong=dict(problems or []),
        is_confirmed=visit.session.is_confirmed,
        why_not=_why_not(client),
    )
