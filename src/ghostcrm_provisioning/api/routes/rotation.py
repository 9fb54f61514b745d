"""What opens a client's database is exchanged. The answer holds no secret: those are asked for afterwards."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.accepting import Wait, answer_accepted
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.clients import Accepted, ProvisionedClient
from ghostcrm_provisioning.api.documents.document import failures
from ghostcrm_provisioning.clients.lifecycle import LONGEST_REASON
from ghostcrm_provisioning.fleet.rotating import rotate_credentials
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/clients/{client_id}", tags=["credentials"])


class RotateRequest(BaseModel):
    """What is exchanged; neither `passwords` nor `keys` stands for everything that is ours to change there."""

    model_config = ConfigDict(extra="forbid")

    passwords: StrictBool = Field(
        default=False, description="The passwords of all of the database's logins."
    )
    keys: StrictBool = Field(
        default=False,
        description="The keys: on a server of yours JWT secret, anon and service role key; at Supabase the "
        "publishable and the secret key.",
    )
    legacy_keys: StrictBool = Field(
        default=False,
        alias="legacyKeys",
        description="With the keys, switch a project's older ones (anon, service_role) off for good.",
    )
    end_sessions: StrictBool = Field(
        default=False,
        alias="endSessions",
        description="With the passwords, end the sessions that are open. Otherwise they stay open.",
    )
    reason: str | None = Field(
        default=None,
        max_length=LONGEST_REASON,
        pattern=r"^[^\x00]*$",
        description="Why; kept with the run, and in the audit log.",
        examples=["somebody has left"],
    )


@router.post(
    "/rotate",
    status_code=202,
    response_model=Accepted,
    responses={200: {"model": ProvisionedClient}, **failures(404, 409)},
)
async def rotate(
    client_id: UUID,
    site: TheSite,
    principal: Annotated[Principal, requires(Scope.CLIENTS_CONNECT)],
    body: RotateRequest | None = None,
    wait: Wait = 0,
) -> JSONResponse:
    """Exchange what opens the client's database: its passwords, its keys, or both.

    From the moment at which a new password is set, the old one opens nothing; the old keys of a project are
    deleted once the new ones open it. `connect` gives the new ones.
    """
    wanted = body or RotateRequest()
    accepted = await rotate_credentials(
        site.installation,
        client_id,
        requested_by=principal.actor,
        passwords=wanted.passwords,
        keys=wanted.keys,
        legacy_keys=wanted.legacy_keys,
        end_sessions=wanted.end_sessions,
        reason=wanted.reason,
    )
    return await answer_accepted(
        site, client_id, accepted.run_id, created=accepted.created, wait_seconds=wait
    )
