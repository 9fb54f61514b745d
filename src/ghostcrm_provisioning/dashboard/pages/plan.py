"""Another plan for a client: what it would mean, seen first, and then having it changed."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.client_database.blueprint import Blueprint, read_blueprint
from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.dashboard.pages.client import path_of
from ghostcrm_provisioning.dashboard.plan_words import choices_of, lines_of, title_of
from ghostcrm_provisioning.dashboard.rendering import go_to, render
from ghostcrm_provisioning.dashboard.signing_in import Submission, Visit, form_for, page_for
from ghostcrm_provisioning.errors import GhostcrmError, InvalidInput, NotFound, PlanDoesNotFit
from ghostcrm_provisioning.fleet.changing_plan import PlanPreview, change_plan, preview_plan_change
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/clients")


@router.get("/{client_id}/plan")
async def choose(
    request: Request,
    client_id: UUID,
    site: TheSite,
    _: Annotated[Visit, page_for(Scope.CLIENTS_WRITE)],
    plan: str = "",
) -> HTMLResponse:
    """The plans; with ``plan``, what that one would mean."""
    return await _page(request, site, client_id, plan)


@router.post("/{client_id}/plan")
async def change(
    request: Request,
    client_id: UUID,
    site: TheSite,
    submission: Annotated[Submission, form_for(Scope.CLIENTS_WRITE)],
) -> Response:
    """Have it changed; the client's page shows how that goes."""
    plan = submission.text("plan")
    try:
        accepted = await change_plan(
            site.installation,
            client_id,
            plan,
            requested_by=submission.principal.actor,
            allow_over_limit=submission.text("allow_over_limit") == "yes",
        )
    except PlanDoesNotFit as refused:
        sentence = f"{refused.message} Have the client remove what is over, or accept it with the box below."
        return await _page(request, site, client_id, plan, [sentence])
    except NotFound:
        raise
    except GhostcrmError as refused:
        return await _page(request, site, client_id, plan, [refused.message])
    if accepted.run_id is None:
        notice = f"It has the plan {plan} already; nothing was done."
    elif accepted.created:
        notice = f"Its plan is being changed to {plan}. The client stays in use meanwhile."
    else:
        notice = f"Its change to {plan} is under way already."
    return go_to(path_of(client_id), notice=notice)


async def _page(
    request: Request, site: Site, client_id: UUID, plan: str, problems: list[str] | None = None
) -> HTMLResponse:
    problems = list(problems or [])
    async with site.installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    blueprint = await asyncio.to_thread(read_blueprint, client.blueprint)
    preview: PlanPreview | None = None
    why_not = _why_not(client)
    if why_not is None and plan and plan != client.plan:
        preview, problem = await _preview(site, client, blueprint, plan)
        problems += [problem] if problem else []
    return render(
        request,
        "client/plan.html",
        status_code=422 if problems else 200,
        client=client,
        choices=choices_of(blueprint),
        titles={name: each.title for name, each in blueprint.plans.items()},
        chosen=plan if plan in blueprint.plans else "",
        preview=preview,
        lines=[] if preview is None else lines_of(preview),
        title_of=title_of,
        problems=[(None, problem) for problem in problems],
        why_not=why_not,
    )


async def _preview(
    site: Site, client: Client, blueprint: Blueprint, plan: str
) -> tuple[PlanPreview | None, str | None]:
    """What that plan would mean, or why that cannot be said now."""
    try:
        blueprint.plan(plan)
        return await preview_plan_change(site.installation, client.id, plan), None
    except InvalidInput as unknown:
        return None, unknown.message
    except GhostcrmError as problem:
        return (
            None,
            f"{problem.message} What is used could not be counted, so nothing is offered here.",
        )


def _why_not(client: Client) -> str | None:
    if "quarantined" in {client.status, client.wanted_status}:
        return "It is in quarantine: its plan can be changed when it is released."
    if {"suspended", "deleted"} & {client.status, client.wanted_status}:
        return "It is suspended or deleted, or on its way there: its plan stays."
    if client.status != "ready":
        return f"It is not ready ({client.status}), so its plan cannot be changed yet."
    return None
