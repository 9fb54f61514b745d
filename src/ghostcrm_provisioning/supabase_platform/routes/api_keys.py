"""Management API: the keys of a project."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from ghostcrm_provisioning.supabase_platform.entrance import (
    ThePlatform,
    TheProject,
    within_budget,
)

router = APIRouter(prefix="/v1/projects/{ref}/api-keys", dependencies=[Depends(within_budget)])

_NAME = r"^[a-z_][a-z0-9_]+$"


class KeyToCreate(BaseModel):
    type: Literal["publishable", "secret"]
    name: str = Field(min_length=4, max_length=64, pattern=_NAME)
    description: str | None = None
    secret_jwt_template: dict[str, Any] | None = None


class KeyToChange(BaseModel):
    name: str | None = Field(default=None, min_length=4, max_length=64, pattern=_NAME)
    description: str | None = None
    secret_jwt_template: dict[str, Any] | None = None


@router.get("")
async def list_keys(
    platform: ThePlatform, project: TheProject, reveal: bool = False
) -> list[dict[str, Any]]:
    return await platform.keys.all(project, reveal=reveal)


@router.post("", status_code=201)
async def create_key(
    platform: ThePlatform, project: TheProject, new: KeyToCreate, reveal: bool = False
) -> dict[str, Any]:
    return await platform.keys.create(
        project,
        type_=new.type,
        name=new.name,
        description=new.description,
        template=new.secret_jwt_template,
        reveal=reveal,
    )


@router.get("/legacy")
async def get_legacy(project: TheProject) -> dict[str, bool]:
    return {"enabled": project.legacy_keys_enabled}


@router.put("/legacy")
async def set_legacy(platform: ThePlatform, project: TheProject, enabled: bool) -> dict[str, bool]:
    await platform.set_legacy_keys_enabled(project, enabled)
    return {"enabled": enabled}


@router.get("/{key_id}")
async def get_key(
    platform: ThePlatform,
    project: TheProject,
    key_id: UUID,
    reveal: bool = False,
) -> dict[str, Any]:
    return await platform.keys.find(project, key_id, reveal=reveal)


@router.patch("/{key_id}")
async def change_key(
    platform: ThePlatform,
    project: TheProject,
    key_id: UUID,
    changes: KeyToChange,
    reveal: bool = False,
) -> dict[str, Any]:
    given = changes.model_dump(exclude_unset=True)
    return await platform.keys.change(project, key_id, given, reveal=reveal)


@router.delete("/{key_id}")
async def delete_key(
    platform: ThePlatform,
    project: TheProject,
    key_id: UUID,
    reveal: bool = False,
) -> dict[str, Any]:
    return await platform.keys.delete(project, key_id, reveal=reveal)
