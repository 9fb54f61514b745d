"""Who is asking, as this system sees it: for whoever wonders which token he has."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.api.authentication import authenticated
from ghostcrm_provisioning.api.documents.access import (
    Me,
)

router = APIRouter(prefix="/api/admin/me", tags=["access"])


@router.get("", response_model=Me)
async def read_me(principal: Annotated[Principal, Depends(authenticated)]) -> JSONResponse:
    """Your name and scopes."""
    return JSONResponse(
        {
            "kind": principal.kind,
            "id": str(principal.id),
            "name": principal.name,
            "actor": principal.actor,
            "scopes": sorted(principal.scopes),
        }
    )
