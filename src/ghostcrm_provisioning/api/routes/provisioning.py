"""The specification's own calls: provision a client, and how the queue stands."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait, answer_accepted
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.clients import (
    Accepted,
    ProvisionedClient,
)
from ghostcrm_provisioning.api.documents.document import (
    failures,
)
from ghostcrm_provisioning.api.documents.queue import (
    Queue,
)
from ghostcrm_provisioning.registration_form import LONGEST_EMAIL, LONGEST_NAME, checked_form
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/provision-client", tags=["provisioning"])


class ClientData(BaseModel):
    """A company that is to have a database of its own."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["ACME Corp"])
    admin_email: str = Field(min_length=3, max_length=LONGEST_EMAIL, examples=["admin@acme.com"])
    plan: str = Field(default="starter", max_length=100, examples=["professional"])
    admin_password: SecretStr | None = Field(
        default=None,
        description="8 to 72 bytes; hashed at once and never kept. Without it, a temporary one is made "
        "and answered once.",
    )
    id: UUID | None = Field(default=None, description="The client's id, when you choose it.")


class ProvisionRequest(BaseModel):
    """As in the specification."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    client_data: ClientData


@router.post(
    "",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(409, 503)},
)
async def provision_client(
    body: ProvisionRequest,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_WRITE)],
    wait: Wait = 0,
) -> JSONResponse:
    """Register a company and have a database made for it.

    202 as soon as it cannot be lost any more. With `?wait=SECONDS`, 200 with the client when its run has
    ended in that time: `status` is `ready`, or `failed` with `error`. The same registration again is the
    same client, and `created` is false.
    """
    data = body.client_data
    password = None if data.admin_password is None else data.admin_password.get_secret_value()
    form = checked_form(
        company_name=data.name,
        admin_email=data.admin_email,
        plan=data.plan,
        blueprint=site.installation.settings.blueprint,
        admin_password=password,
        client_id=data.id,
    )
    accepted = await site.installation.registrar.register(form, registered_by=principal.actor)
    return await answer_accepted(
        site,
        accepted.client_id,
        accepted.run_id,
        created=accepted.created,
        wait_seconds=wait,
        temporary_password=accepted.temporary_password,
    )


@router.get("/status", response_model=Queue)
async def provisioning_status(
    site: TheSite, _: Annotated[Principal, requires(Scope.QUEUE_READ)]
) -> JSONResponse:
    """How long the queue is, what is being worked on, by whom, and what has failed in the last day."""
    return JSONResponse((await site.queue_status.fresh()).as_document())
