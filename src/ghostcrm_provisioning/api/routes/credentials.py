"""What opens a client's database. Every answer holds a secret, is kept by nobody in between, and is
audited."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.document import (
    failures,
)
from ghostcrm_provisioning.api.documents.doing import (
    ConnectionOf,
    Environment,
    ResetPassword,
)
from ghostcrm_provisioning.client_database.roles import CLIENT_LOGIN_ROLES
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.connecting import (
    connect_to,
    program_settings,
    reset_admin_password,
)
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/clients/{client_id}", tags=["credentials"])

_SECRET = {"Cache-Control": "no-store"}

Connector = Annotated[Principal, requires(Scope.CLIENTS_CONNECT)]
# As whom to connect.
Role = StrEnum("Role", {role.key.upper(): role.key for role in CLIENT_LOGIN_ROLES})  # type: ignore[misc]


class Format(StrEnum):
    """How it is said: the URL and keys, or settings of the programs that connect so."""

    JSON = "json"
    ENV = "env"


class ConnectRequest(BaseModel):
    """As whom, and how it is said."""

    model_config = ConfigDict(extra="forbid")

    role: Role = Field(
        default=Role("app"),
        description="; ".join(f"{role.key}: {role.purpose}" for role in CLIENT_LOGIN_ROLES) + ".",
    )
    format: Format = Format.JSON


@router.post("/connect", response_model=ConnectionOf | Environment, responses=failures(404, 409))
async def connect_to_client(
    client_id: UUID, site: TheSite, principal: Connector, body: ConnectRequest | None = None
) -> JSONResponse:
    """How to connect to a ready client's database. The answer is secret."""
    wanted = body or ConnectRequest()
    if wanted.format is Format.ENV:
        settings = await program_settings(
            site.installation, client_id, role=wanted.role.value, requested_by=principal.actor
        )
        return JSONResponse({"environment": settings}, headers=_SECRET)
    connection = await connect_to(
        site.installation, client_id, role=wanted.role.value, requested_by=principal.actor
    )
    return JSONResponse(connection.as_document(), headers=_SECRET)


@router.post("/reset-admin-password", response_model=ResetPassword, responses=failures(404, 409))
async def reset_password(client_id: UUID, site: TheSite, principal: Connector) -> JSONResponse:
    """Give the client's admin a new temporary password. It is shown this once."""
    async with site.installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    password = await reset_admin_password(
        site.installation, client_id, requested_by=principal.actor
    )
    admin = {"email": client.admin_email, "temporaryPassword": password}
    return JSONResponse({"id": str(client_id), "admin": admin}, headers=_SECRET)
