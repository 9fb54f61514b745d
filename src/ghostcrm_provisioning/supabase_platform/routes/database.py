"""Management API: a project's database; SQL, its password, how to reach it, its types."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, SecretStr

from ghostcrm_provisioning.supabase_platform.buckets import Buckets
from ghostcrm_provisioning.supabase_platform.entrance import (
    RunningProject,
    ThePlatform,
    TheProject,
    within_budget,
)
from ghostcrm_provisioning.supabase_platform.refusal import Refusal
from ghostcrm_provisioning.supabase_platform.sql_query import run_query
from ghostcrm_provisioning.supabase_platform.typescript import typescript_of

router = APIRouter(prefix="/v1/projects/{ref}", dependencies=[Depends(within_budget)])


class ReadOnlyQuery(BaseModel):
    query: str = Field(min_length=1)
    parameters: list[Any] = Field(default_factory=list)


class SqlQuery(ReadOnlyQuery):
    read_only: bool = False


class NewPassword(BaseModel):
    password: SecretStr = Field(min_length=4)


@router.post("/database/query", status_code=201)
async def run_sql(
    platform: ThePlatform, project: RunningProject, asked: SqlQuery
) -> list[dict[str, Any]]:
    async with platform.databases.as_owner(project) as connection:
        return await run_query(connection, asked.query, asked.parameters, read_only=asked.read_only)


@router.post("/database/query/read-only", status_code=201)
async def run_sql_read_only(
    platform: ThePlatform, project: RunningProject, asked: ReadOnlyQuery
) -> list[dict[str, Any]]:
    async with platform.databases.as_owner(project) as connection:
        return await run_query(connection, asked.query, asked.parameters, read_only=True)


@router.patch("/database/password")
async def set_password(
    platform: ThePlatform, project: RunningProject, new: NewPassword
) -> dict[str, str]:
    password = new.password.get_secret_value()
    if not (password.isascii() and password.isprintable()):
        raise Refusal(
            400, "password: the local platform takes passwords of printable ASCII characters"
        )
    await platform.set_database_password(project, password)
    return {"message": "Successfully updated database password"}


@router.get("/config/database/pooler")
async def get_pooler(platform: ThePlatform, project: TheProject) -> list[dict[str, Any]]:
    """There is no pooler here: what is answered leads to the database itself."""
    place = platform.databases.place(project)
    authority = f"{quote(place.host, safe='')}:{place.port}"
    url = f"postgresql://{place.user}:[YOUR-PASSWORD]@{authority}/{place.database}"
    return [
        {
            "identifier": project.ref,
            "database_type": "PRIMARY",
            "is_using_scram_auth": True,
            "db_user": place.user,
            "db_host": place.host,
            "db_port": place.port,
            "db_name": place.database,
            "connection_string": url,
            "connectionString": url,
            "default_pool_size": None,
            "max_client_conn": None,
            "pool_mode": "session",
        }
    ]


@router.get("/types/typescript")
async def get_types(
    platform: ThePlatform,
    project: RunningProject,
    included_schemas: Annotated[str, Query()] = "public",
) -> dict[str, str]:
    schemas = [name.strip() for name in included_schemas.split(",") if name.strip()]
    async with platform.databases.as_owner(project) as connection:
        return {"types": await typescript_of(connection, schemas)}


@router.get("/database/backups")
async def list_backups(project: TheProject) -> dict[str, Any]:
    """None: whoever runs the platform backs up its server."""
    return {
        "region": project.region,
        "pitr_enabled": False,
        "walg_enabled": False,
        "backups": [],
        "physical_backup_data": {},
    }


@router.get("/storage/buckets")
async def list_buckets(platform: ThePlatform, project: RunningProject) -> list[dict[str, Any]]:
    async with platform.databases.as_services(project) as connection:
        found = await Buckets(connection).all("service_role")
    names = ("id", "name", "owner", "created_at", "updated_at", "public")
    return [{name: bucket[name] for name in names} for bucket in found]
