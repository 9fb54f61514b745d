"""A project's Storage API, as far as its rows go: buckets, and which files are in them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ghostcrm_provisioning.supabase_platform.buckets import Buckets, bucket_not_found
from ghostcrm_provisioning.supabase_platform.entrance import ThePlatform
from ghostcrm_provisioning.supabase_platform.project import Project
from ghostcrm_provisioning.supabase_platform.project_caller import ReachableProject, TheCaller
from ghostcrm_provisioning.supabase_platform.refusal import Refusal
from ghostcrm_provisioning.supabase_platform.routes.configuration import file_size_limit

router = APIRouter(prefix="/project/{ref}/storage/v1")


class BucketToCreate(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    id: str | None = Field(default=None, min_length=1, max_length=100)
    public: bool = False
    file_size_limit: int | str | None = None
    allowed_mime_types: list[str] | None = None


class BucketToChange(BaseModel):
    public: bool | None = None
    file_size_limit: int | str | None = None
    allowed_mime_types: list[str] | None = None


class FilesToList(BaseModel):
    prefix: str
    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = Field(default=0, ge=0)


@router.get("/bucket")
async def list_buckets(
    platform: ThePlatform, project: ReachableProject, caller: TheCaller
) -> list[dict[str, Any]]:
    async with platform.databases.as_services(project) as connection:
        return await Buckets(connection).all(caller.role)


@router.get("/bucket/{bucket_id}")
async def get_bucket(
    platform: ThePlatform, project: ReachableProject, caller: TheCaller, bucket_id: str
) -> dict[str, Any]:
    async with platform.databases.as_services(project) as connection:
        found = await Buckets(connection).all(caller.role, bucket_id)
    if not found:
        raise bucket_not_found()
    return found[0]


@router.post("/bucket")
async def create_bucket(
    platform: ThePlatform, project: ReachableProject, caller: TheCaller, new: BucketToCreate
) -> dict[str, str]:
    bucket = {
        "id": new.id or new.name,
        "name": new.name,
        "public": new.public,
        "file_size_limit": _bytes(new.file_size_limit, project),
        "allowed_mime_types": new.allowed_mime_types,
        "owner_id": caller.claims.get("sub"),
    }
    async with platform.databases.as_services(project) as connection:
        await Buckets(connection).create(caller.role, bucket)
    return {"name": new.name}


@router.put("/bucket/{bucket_id}")
async def change_bucket(
    platform: ThePlatform,
    project: ReachableProject,
    caller: TheCaller,
    bucket_id: str,
    wanted: BucketToChange,
) -> dict[str, str]:
    given = wanted.model_fields_set
    changes = {
        "id": bucket_id,
        "public": wanted.public,
        "sets_limit": "file_size_limit" in given,
        "file_size_limit": _bytes(wanted.file_size_limit, project),
        "sets_types": "allowed_mime_types" in given,
        "allowed_mime_types": wanted.allowed_mime_types,
    }
    async with platform.databases.as_services(project) as connection:
        await Buckets(connection).change(caller.role, changes)
    return {"message": "Successfully updated"}


@router.delete("/bucket/{bucket_id}")
async def delete_bucket(
    platform: ThePlatform, project: ReachableProject, caller: TheCaller, bucket_id: str
) -> dict[str, str]:
    async with platform.databases.as_services(project) as connection:
        await Buckets(connection).delete(caller.role, bucket_id)
    return {"message": "Successfully deleted"}


@router.post("/object/list/{bucket_id}")
async def list_files(
    platform: ThePlatform,
    project: ReachableProject,
    caller: TheCaller,
    bucket_id: str,
    wanted: FilesToList,
) -> list[dict[str, Any]]:
    async with platform.databases.as_services(project) as connection:
        return await Buckets(connection).files(
            caller, bucket_id, prefix=wanted.prefix, limit=wanted.limit, offset=wanted.offset
        )


def _bytes(limit: int | str | None, project: Project) -> int | None:
    """``"20MB"``, ``"1GB"``, or bytes; not more than the project takes."""
    if limit is None:
        return None
    text = str(limit).strip().upper()
    unit = next((unit for unit in ("KB", "MB", "GB") if text.endswith(unit)), "")
    number = text.removesuffix(unit).strip()
    if not number.isdecimal():
        raise Refusal(400, "file_size_limit: it is not a size")
    size = int(number) * {"": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}[unit]
    if size > file_size_limit(project):
        message = "The object exceeded the maximum allowed size"
        body = {"statusCode": "413", "error": "Payload too large", "message": message}
        raise Refusal(400, message, body=body)
    return size
