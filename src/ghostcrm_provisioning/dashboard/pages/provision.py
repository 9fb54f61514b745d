"""The form by which an operator registers a company."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.dashboard.pages.client import path_of
from ghostcrm_provisioning.dashboard.plan_words import choices_of
from ghostcrm_provisioning.dashboard.rendering import go_to, render
from ghostcrm_provisioning.dashboard.shown_once import Once, shown_once_of
from ghostcrm_provisioning.dashboard.signing_in import Submission, Visit, form_for, page_for
from ghostcrm_provisioning.errors import GhostcrmError, InvalidInput
from ghostcrm_provisioning.registration_form import (
    LONGEST_NAME,
    SHORTEST_PASSWORD,
    check_company_name,
    check_email,
    check_password,
    checked_form,
)
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/clients")

Problems = list[tuple[str | None, str]]


@router.get("/new")
async def ask(
    request: Request,
    site: TheSite,
    _: Annotated[Visit, page_for(Scope.CLIENTS_WRITE)],
    plan: str = "",
) -> HTMLResponse:
    """An empty form."""
    return await _form(request, site, {"plan": plan})


@router.post("/new")
async def provision(
    request: Request,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)],
) -> Response:
    """Register it, and see the client's page, live.

    The same company with the same admin is the same registration, so a form that is sent twice makes one
    client.
    """
    values = {name: submission.text(name) for name in ("name", "admin_email", "plan")}
    password = submission.untouched("admin_password") or None
    problems = _problems(values, password)
    if problems:
        return await _form(request, site, values, problems)
    try:
        form = checked_form(
            company_name=values["name"],
            admin_email=values["admin_email"],
            plan=values["plan"],
            blueprint=site.installation.settings.blueprint,
            admin_password=password,
        )
        accepted = await site.installation.registrar.register(
            form, registered_by=submission.principal.actor
        )
    except InvalidInput as refused:
        return await _form(request, site, values, [("plan", refused.message)])
    except GhostcrmError as refused:
        return await _form(
            request,
            site,
            values,
            [(None, refused.message), (None, refused.next_step)],
            status_code=refused.http_status,
        )
    if accepted.temporary_password is not None:
        shown_once_of(request).put(
            submission.visit.session.id,
            accepted.client_id,
            Once("The temporary password of its admin", accepted.temporary_password),
        )
    return go_to(
        path_of(accepted.client_id),
        notice=None if accepted.created else f"{form.company_name} is registered with this admin.",
    )


def _problems(values: dict[str, str], password: str | None) -> Problems:
    """What is wrong, each at its field; all of it at once."""
    problems: Problems = []
    for name, check in (("name", check_company_name), ("admin_email", check_email)):
        try:
            check(values[name])
        except InvalidInput as refused:
            problems.append((name, refused.message))
    if not values["plan"]:
        problems.append(("plan", "No plan was chosen."))
    if password is not None:
        try:
            check_password(password)
        except InvalidInput as refused:
            problems.append(("admin_password", refused.message))
    return problems


async def _form(
    request: Request,
    site: Site,
    values: dict[str, str],
    problems: Problems | None = None,
    *,
    status_code: int = 422,
) -> HTMLResponse:
    blueprint = await asyncio.to_thread(read_blueprint, site.installation.settings.blueprint)
    wrong: dict[str | None, str] = {}
    for name, sentence in problems or []:
        wrong.setdefault(name, sentence)
    return render(
        request,
        "clients/new.html",
        status_code=status_code if problems else 200,
        values={"name": "", "admin_email": ""} | values,
        chosen=values.get("plan") or next(iter(blueprint.plans)),
        choices=choices_of(blueprint),
        blueprint=blueprint,
        problems=problems or [],
        wrong=wrong,
        longest_name=LONGEST_NAME,
        shortest_password=SHORTEST_PASSWORD,
    )
