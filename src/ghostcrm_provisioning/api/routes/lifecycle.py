"""The rest of a client's life: suspend it, have it back, delete it. A worker makes it so."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait, answer_accepted, answer_nothing_to_do
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.clients import Accepted, ProvisionedClient
from ghostcrm_provisioning.api.documents.document import failures
from ghostcrm_provisioning.clients.lifecycle import LONGEST_REASON
from ghostcrm_provisioning.fleet.lifecycle import delete_client, resume_client, suspend_client
from ghostcrm_provisioning.registrars.lifecycle import AcceptedLifecycleChange
from ghostcrm_provisioning.registration_form import LONGEST_NAME
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/api/admin/clients/{client_id}", tags=["clients"])

Writer = Annotated[Principal, requires(Scope.CLIENTS_WRITE)]

_REASON = Field(
    default=None,
    max_length=LONGEST_REASON,
    pattern=r"^[^\x00]*$",
    description="Why; kept with the run, and in the audit log.",
    examples=["invoice 4711 is unpaid"],
)
_EXPORT = Field(
    default=True,
    description="Write and see a dump of the client's data first. It stays on the worker's machine.",
)


class ResumeRequest(BaseModel):
    """Why a client comes back."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = _REASON


class SuspendRequest(ResumeRequest):
    """Why a client is suspended, and whether its data is exported first."""

    export: StrictBool = _EXPORT


class DeleteRequest(SuspendRequest):
    """Which client is deleted, for ever: its name, typed by whoever wants it."""

    confirm: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern=r"^[^\x00]*$",
        description="The client's name, exactly as it is registered.",
        examples=["ACME Corp"],
    )


@router.post(
    "/suspend",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(404, 409)},
)
async def suspend(
    client_id: UUID,
    site: TheSite,
    principal: Writer,
    body: SuspendRequest | None = None,
    wait: Wait = 0,
) -> JSONResponse:
    """Let nobody in until the client is resumed; everything stays. A project at Supabase is paused.

    From the answer on, nobody is given a connection any more. 200 at once when it is suspended already.
    """
    wanted = body or SuspendRequest()
    accepted = await suspend_client(
        site.installation,
        client_id,
        requested_by=principal.actor,
        reason=wanted.reason,
        with_export=wanted.export,
    )
    return await _answer(site, accepted, wait)


@router.post(
    "/resume",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(404, 409)},
)
async def resume(
    client_id: UUID,
    site: TheSite,
    principal: Writer,
    body: ResumeRequest | None = None,
    wait: Wait = 0,
) -> JSONResponse:
    """Have a suspended client back, proven to be isolated before anybody is let in.

    Also one whose project Supabase itself has paused. 200 at once when it is ready already.
    """
    accepted = await resume_client(
        site.installation,
        client_id,
        requested_by=principal.actor,
        reason=(body or ResumeRequest()).reason,
    )
    return await _answer(site, accepted, wait)


@router.delete(
    "",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(404, 409)},
)
async def delete(
    client_id: UUID,
    body: DeleteRequest,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_DELETE)],
    wait: Wait = 0,
) -> JSONResponse:
    """Remove the client's database, for ever, and see that nothing is left of it.

    The body has to name the client. Its record stays, with what was seen of the absence; what opened its
    database is erased. 200 at once when it is deleted already.
    """
    accepted = await delete_client(
        site.installation,
        client_id,
        confirmed_name=body.confirm,
        requested_by=principal.actor,
        reason=body.reason,
        with_export=body.export,
    )
    return await _answer(site, accepted, wait)


async def _answer(
    site: Site, accepted: AcceptedLifecycleChange, wait_seconds: float
) -> JSONResponse:
    if accepted.run_id is None:
        return await answer_nothing_to_do(site, accepted.client_id)
    return await answer_accepted(
        site,
        accepted.client_id,
        accepted.run_id,
        created=accepted.created,
        wait_seconds=wait_seconds,
    )
