"""The platform's own endpoint for faults; Supabase has nothing like it."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ghostcrm_provisioning.supabase_platform.entrance import ThePlatform, with_token
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

router = APIRouter(prefix="/platform/faults", dependencies=[Depends(with_token)])


class FaultToAdd(BaseModel):
    """``times`` requests meet it, or all when it is left out."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[
        "drop_reply", "error_before", "error_after", "too_many_requests", "silence", "stuck",
        "duplicate_name",
    ]  # fmt: skip
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    path: str = Field(default="*", max_length=500)
    times: int | None = Field(default=1, ge=1, le=1_000_000)
    status: int | None = Field(default=None, ge=400, le=599)
    seconds: float | None = Field(default=None, ge=0, le=3600)
    state: Literal["UNKNOWN", "COMING_UP", "PAUSING", "RESTORING", "GOING_DOWN"] | None = None


@router.get("")
async def list_faults(platform: ThePlatform) -> list[dict[str, Any]]:
    return await platform.faults.all()


@router.post("", status_code=201)
async def add_fault(platform: ThePlatform, new: FaultToAdd) -> dict[str, Any]:
    return await platform.faults.add(**new.model_dump())


@router.delete("")
async def take_back_all(platform: ThePlatform) -> list[dict[str, Any]]:
    return await platform.faults.take_back()


@router.delete("/{fault_id}")
async def take_back(platform: ThePlatform, fault_id: UUID) -> dict[str, Any]:
    taken = await platform.faults.take_back(fault_id)
    if not taken:
        raise Refusal(404, "There is no such fault")
    return taken[0]
