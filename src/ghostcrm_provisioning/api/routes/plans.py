"""A client's plan: what another one would mean, and having it changed."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait, answer_accepted, answer_nothing_to_do
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.clients import (
    Accepted,
    ProvisionedClient,
)
from ghostcrm_provisioning.api.documents.document import (
    failures,
)
from ghostcrm_provisioning.api.documents.doing import (
    PlanPreview,
)
from ghostcrm_provisioning.api.parameters import Name
from ghostcrm_provisioning.fleet.changing_plan import change_plan, preview_plan_change
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/clients/{client_id}", tags=["plans"])


class PlanRequest(BaseModel):
    """The plan that a client is to have."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    plan: Name = Field(examples=["enterprise"])
    allow_over_limit: StrictBool = Field(
        default=False,
        description="Accept what is over a limit that becomes lower. Nothing is deleted, and nothing "
        "new is taken until it is below.",
    )


@router.get("/plan-preview", response_model=PlanPreview, responses=failures(404, 409))
async def preview_plan(
    client_id: UUID,
    site: TheSite,
    _: Annotated[Principal, requires(Scope.CLIENTS_READ)],
    plan: Annotated[Name, Query(examples=["starter"])],
) -> JSONResponse:
    """What would be over a limit, and by how much, if the client had that plan. Changes nothing."""
    preview = await preview_plan_change(site.installation, client_id, plan)
    return JSONResponse(preview.as_document())


@router.post(
    "/change-plan",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(404, 409)},
)
async def change_plan_of_client(
    client_id: UUID,
    body: PlanRequest,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_WRITE)],
    wait: Wait = 0,
) -> JSONResponse:
    """Have the plan changed, while the client stays in use.

    409 `plan_does_not_fit` says what is over and by how much. 200 at once when the client has that plan
    already.
    """
    accepted = await change_plan(
        site.installation,
        client_id,
        body.plan,
        requested_by=principal.actor,
        allow_over_limit=body.allow_over_limit,
    )
    if accepted.run_id is None:
        return await answer_nothing_to_do(site, client_id)
    return await answer_accepted(
        site, client_id, accepted.run_id, created=accepted.created, wait_seconds=wait
    )
