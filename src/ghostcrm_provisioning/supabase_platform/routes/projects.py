"""Management API: projects, from their creation to their deletion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.supabase_platform.entrance import (
    Empty,
    ThePlatform,
    TheProject,
    within_budget,
)
from ghostcrm_provisioning.supabase_platform.platform import NewProject, Platform
from ghostcrm_provisioning.supabase_platform.project import (
    INSTANCE_SIZES,
    REGIONS,
    SMART_GROUPS,
    STATUSES,
    Project,
)
from ghostcrm_provisioning.supabase_platform.records import RECORDS
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

router = APIRouter(prefix="/v1/projects", dependencies=[Depends(within_budget)])

SERVICES = (
    "auth", "db", "db_postgres_user", "pooler", "realtime", "rest", "storage", "pg_bouncer",
)  # fmt: skip


class SpecificRegion(BaseModel):
    type: Literal["specific"]
    code: str

    @field_validator("code")
    @classmethod
    def known(cls, code: str) -> str:
        return _one_of(code, REGIONS)


class SmartGroup(BaseModel):
    type: Literal["smartGroup"]
    code: str

    @field_validator("code")
    @classmethod
    def known(cls, code: str) -> str:
        return _one_of(code, tuple(SMART_GROUPS))


class ProjectToCreate(BaseModel):
    """As the official description has it: no other keys than these."""

    model_config = ConfigDict(extra="forbid")

    db_pass: SecretStr = Field(min_length=4)
    name: str = Field(min_length=1, max_length=256)
    organization_slug: str = Field(pattern=r"^[\w-]+$")
    organization_id: str | None = None
    plan: Literal["free", "pro"] | None = None
    region: str | None = None
    region_selection: Annotated[SpecificRegion | SmartGroup, Field(discriminator="type")] | None = (
        None
    )
    kps_enabled: bool | None = None
    desired_instance_size: str | None = None
    template_url: str | None = None

    @field_validator("db_pass")
    @classmethod
    def ascii(cls, password: SecretStr) -> SecretStr:
        text = password.get_secret_value()
        if not (text.isascii() and text.isprintable()):
            raise ValueError("the local platform takes passwords of printable ASCII characters")
        return password

    @field_validator("region")
    @classmethod
    def known_region(cls, region: str | None) -> str | None:
        return None if region is None else _one_of(region, REGIONS)

    @field_validator("desired_instance_size")
    @classmethod
    def known_size(cls, size: str | None) -> str | None:
        return None if size is None else _one_of(size, INSTANCE_SIZES)

    @model_validator(mode="after")
    def one_region(self) -> ProjectToCreate:
        if (self.region is None) == (self.region_selection is None):
            raise ValueError("name either region or region_selection")
        return self

    @property
    def chosen_region(self) -> str:
        if self.region is not None:
            return self.region
        assert self.region_selection is not None
        code = self.region_selection.code
        return SMART_GROUPS.get(code, code)


class ProjectToRename(BaseModel):
    name: str = Field(min_length=1, max_length=256)


@router.get("")
async def list_projects(platform: ThePlatform) -> list[dict[str, Any]]:
    version = await _server_version(platform)
    return [_document(platform, each, version) for each in await platform.projects()]


@router.post("", status_code=201)
async def create_project(
    request: Request, platform: ThePlatform, new: ProjectToCreate
) -> dict[str, Any]:
    met = {"method": request.method, "path": request.url.path}
    stuck = await platform.faults.meet("stuck", **met)
    duplicate = await platform.faults.meet("duplicate_name", **met)
    project = await platform.create(
        NewProject(
            name=new.name,
            organization_slug=new.organization_slug,
            region=new.chosen_region,
            instance_size=new.desired_instance_size or "nano",
            database_password=new.db_pass.get_secret_value(),
            stuck_as=None if stuck is None else stuck["state"] or "COMING_UP",
            shares_name=duplicate is not None,
        )
    )
    return _short_document(platform, project)


@router.get("/{ref}")
async def get_project(platform: ThePlatform, project: TheProject) -> dict[str, Any]:
    return _document(platform, project, await _server_version(platform))


@router.patch("/{ref}")
async def rename_project(
    platform: ThePlatform, project: TheProject, wanted: ProjectToRename
) -> dict[str, Any]:
    await platform.rename(project, wanted.name)
    return {"id": project.number, "ref": project.ref, "name": wanted.name}


@router.delete("/{ref}")
async def delete_project(platform: ThePlatform, project: TheProject) -> dict[str, Any]:
    await platform.remove(project)
    return {"id": project.number, "ref": project.ref, "name": project.name}


@router.post("/{ref}/pause", response_class=Empty)
async def pause_project(request: Request, platform: ThePlatform, project: TheProject) -> None:
    stuck = await platform.faults.meet("stuck", method=request.method, path=request.url.path)
    await platform.pause(project, stuck_as=None if stuck is None else stuck["state"] or "PAUSING")


@router.get("/{ref}/restore")
async def list_restore_versions(project: TheProject) -> dict[str, Any]:
    # There is one version here: the server's.
    return {"available_versions": []}


@router.post("/{ref}/restore", response_class=Empty)
async def restore_project(request: Request, platform: ThePlatform, project: TheProject) -> None:
    stuck = await platform.faults.meet("stuck", method=request.method, path=request.url.path)
    await platform.restore(
        project, stuck_as=None if stuck is None else stuck["state"] or "RESTORING"
    )


@router.get("/{ref}/health")
async def get_health(
    platform: ThePlatform,
    project: TheProject,
    services: Annotated[list[str], Query()],
    timeout_ms: Annotated[int | None, Query(ge=0, le=10000)] = None,
) -> list[dict[str, Any]]:
    # The CLI sends the names in one value, others send several values.
    names = [name for value in services for name in value.split(",")]
    if unknown := sorted(set(names) - set(SERVICES)):
        raise Refusal(400, f"services: there is no {', '.join(unknown)}")
    status = project.shown_status(platform.times)
    if status == "ACTIVE_HEALTHY":
        problem = await _problem_of_database(platform, project)
    elif status in {"UNKNOWN", "COMING_UP", "RESTORING"}:
        return [{"name": name, "healthy": False, "status": "COMING_UP"} for name in names]
    else:
        problem = f"the project is {status}"
    return [_health(name, problem) for name in names]


async def _problem_of_database(platform: Platform, project: Project) -> str | None:
    """Seen now, by logging in."""
    try:
        async with platform.databases.as_owner(project) as connection:
            await connection.execute("select 1")
    except GhostcrmError as error:
        return error.message
    return None


def _health(name: str, problem: str | None) -> dict[str, Any]:
    if name == "realtime":
        problem = "the local platform has no Realtime"
    if problem is not None:
        return {"name": name, "healthy": False, "status": "UNHEALTHY", "error": problem}
    return {"name": name, "healthy": True, "status": "ACTIVE_HEALTHY"}


async def _server_version(platform: Platform) -> str:
    row = await platform.records.fetch_one(RECORDS["server_version"])
    return "" if row is None else str(row["version"]).split(" ")[0]


def _short_document(platform: Platform, project: Project) -> dict[str, Any]:
    status = project.shown_status(platform.times)
    return {
        "id": project.ref,
        "ref": project.ref,
        "organization_id": project.organization_slug,
        "organization_slug": project.organization_slug,
        "name": project.name,
        "region": project.region,
        "created_at": project.created_at.isoformat(),
        "status": status if status in STATUSES else "UNKNOWN",
    }


def _document(platform: Platform, project: Project, version: str) -> dict[str, Any]:
    return {
        **_short_document(platform, project),
        "database": {
            "host": platform.databases.place(project).host,
            "version": version,
            "postgres_engine": version.split(".", maxsplit=1)[0],
            "release_channel": "ga",
        },
    }


def _one_of(value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"must be one of {', '.join(known)}")
    return value
