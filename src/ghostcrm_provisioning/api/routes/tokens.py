"""Tokens: which there are, a new one, and revoking one. Nobody makes one that may do more than he may."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ghostcrm_provisioning.access.principal import Principal, must_have
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.tokens import TokenRecord
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.access import (
    NewToken,
    Token,
)
from ghostcrm_provisioning.api.documents.document import (
    Listed,
    failures,
)
from ghostcrm_provisioning.api.paging import whole_list
from ghostcrm_provisioning.api.parameters import Name
from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/tokens", tags=["access"])

Manager = Annotated[Principal, requires(Scope.ACCESS_MANAGE)]


class TokenRequest(BaseModel):
    """What the token is called, and what it may do."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    name: Annotated[Name, Field(max_length=100, examples=["billing"])]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_at: AwareDatetime | None = Field(default=None, description="Without it, it never does.")


@router.get("", response_model=Listed[Token])
async def list_tokens(site: TheSite, _: Manager) -> JSONResponse:
    """All tokens, newest first, those that were revoked as well. No secret is among them."""
    return JSONResponse(whole_list(map(_document, await site.tokens.list())))


@router.post("", status_code=201, response_model=NewToken, responses=failures(409))
async def create_token(body: TokenRequest, site: TheSite, principal: Manager) -> JSONResponse:
    """Make a token. It is shown this once."""
    scopes = frozenset(body.scopes)
    must_have(principal, scopes)
    new = await site.tokens.create(
        name=body.name, scopes=scopes, created_by=principal.actor, expires_at=body.expires_at
    )
    return JSONResponse(
        {
            "id": str(new.id),
            "name": body.name.strip(),
            "scopes": sorted(scopes),
            "expiresAt": instant(body.expires_at),
            "token": new.token.get_secret_value(),
        },
        status_code=201,
        headers={"Location": f"/api/admin/tokens/{new.id}", "Cache-Control": "no-store"},
    )


@router.delete("/{token_id}", status_code=204, responses=failures(404), response_class=Response)
async def revoke_token(token_id: UUID, site: TheSite, principal: Manager) -> Response:
    """Revoke a token, at once and for good."""
    await site.tokens.revoke(token_id, revoked_by=principal.actor)
    return Response(status_code=204)


def _document(record: TokenRecord) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "name": record.name,
        "prefix": record.prefix,
        "scopes": sorted(record.scopes),
        "createdBy": record.created_by,
        "createdAt": instant(record.created_at),
        "expiresAt": instant(record.expires_at),
        "lastUsedAt": instant(record.last_used_at),
        "revokedAt": instant(record.revoked_at),
        "isValid": record.is_valid,
    }
