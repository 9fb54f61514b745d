"""Management API: the user's profile, and organizations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from ghostcrm_provisioning.supabase_platform.entrance import ThePlatform, within_budget
from ghostcrm_provisioning.supabase_platform.platform import Platform
from ghostcrm_provisioning.supabase_platform.project import REGIONS, SMART_GROUPS, Project

router = APIRouter(prefix="/v1", dependencies=[Depends(within_budget)])

Slug = Annotated[str, Path(pattern=r"^[\w-]+$")]
Sort = Literal["name_asc", "name_desc", "created_asc", "created_desc"]


class NewOrganization(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=256)


@router.get("/profile")
async def profile(platform: ThePlatform) -> dict[str, Any]:
    return {
        "gotrue_id": str(platform.identity.id),
        "primary_email": "platform@localhost.localdomain",
        "username": "platform",
    }


@router.get("/organizations")
async def list_organizations(platform: ThePlatform) -> list[dict[str, Any]]:
    return [{"id": each["slug"], **each} for each in await platform.organizations()]


@router.post("/organizations", status_code=201)
async def create_organization(platform: ThePlatform, new: NewOrganization) -> dict[str, Any]:
    made = await platform.create_organization(new.name)
    return {"id": made["slug"], **made}


@router.get("/organizations/{slug}")
async def get_organization(platform: ThePlatform, slug: Slug) -> dict[str, Any]:
    found = await platform.organization(slug)
    return {
        "id": found["slug"],
        "name": found["name"],
        "plan": "free",
        "opt_in_tags": [],
        "allowed_release_channels": ["ga"],
    }


@router.get("/organizations/{slug}/members")
async def list_members(platform: ThePlatform, slug: Slug) -> list[dict[str, Any]]:
    await platform.organization(slug)
    return [
        {
            "user_id": str(platform.identity.id),
            "user_name": "platform",
            "email": "platform@localhost.localdomain",
            "role_name": "Owner",
            "mfa_enabled": False,
        }
    ]


@router.get("/organizations/{slug}/projects")
async def list_projects(
    platform: ThePlatform,
    slug: Slug,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    search: str | None = None,
    sort: Sort = "name_asc",
    statuses: str | None = None,
) -> dict[str, Any]:
    await platform.organization(slug)
    found = await platform.projects_of(slug, search=search or None)
    if statuses:
        wanted = set(statuses.split(","))
        found = [each for each in found if each.shown_status(platform.times) in wanted]
    field, _, direction = sort.partition("_")
    found.sort(
        key=lambda each: (each.name if field == "name" else each.created_at.isoformat(), each.ref),
        reverse=direction == "desc",
    )
    return {
        "projects": [_document(platform, each) for each in found[offset : offset + limit]],
        "pagination": {"count": len(found), "limit": limit, "offset": offset},
    }


@router.get("/projects/available-regions")
async def list_regions(platform: ThePlatform, organization_slug: str) -> dict[str, Any]:
    await platform.organization(organization_slug)
    groups = [{"name": code, "code": code, "type": "smartGroup"} for code in SMART_GROUPS]
    regions = [
        {"name": code, "code": code, "type": "specific", "provider": "AWS"} for code in REGIONS
    ]
    return {
        "recommendations": {"smartGroup": groups[0], "specific": regions[:1]},
        "all": {"smartGroup": groups, "specific": regions},
    }


def _document(platform: Platform, project: Project) -> dict[str, Any]:
    status = project.shown_status(platform.times)
    # Of a database fewer statuses are known than of a project.
    of_database = {"INACTIVE": "REMOVED", "PAUSING": "GOING_DOWN"}.get(status, status)
    return {
        "ref": project.ref,
        "name": project.name,
        "cloud_provider": "AWS",
        "region": project.region,
        "is_branch": False,
        "status": status,
        "inserted_at": project.created_at.isoformat(),
        "databases": [
            {
                "infra_compute_size": project.instance_size,
                "region": project.region,
                "status": of_database,
                "cloud_provider": "AWS",
                "identifier": project.ref,
                "type": "PRIMARY",
            }
        ],
    }
