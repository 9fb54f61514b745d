"""Management API: what the advisors find in a project's database."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from ghostcrm_provisioning.supabase_platform.advisors import findings
from ghostcrm_provisioning.supabase_platform.entrance import (
    RunningProject,
    ThePlatform,
    within_budget,
)

router = APIRouter(prefix="/v1/projects/{ref}/advisors", dependencies=[Depends(within_budget)])


@router.get("/security")
async def security(platform: ThePlatform, project: RunningProject) -> dict[str, Any]:
    async with platform.databases.as_owner(project) as connection:
        return {"lints": await findings(connection, "SECURITY")}


@router.get("/performance")
async def performance(platform: ThePlatform, project: RunningProject) -> dict[str, Any]:
    async with platform.databases.as_owner(project) as connection:
        return {"lints": await findings(connection, "PERFORMANCE")}
