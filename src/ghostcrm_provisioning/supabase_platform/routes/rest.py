"""A project's REST API, read-only: what does whoever has this key see?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from ghostcrm_provisioning.supabase_platform.entrance import ThePlatform
from ghostcrm_provisioning.supabase_platform.project import Project
from ghostcrm_provisioning.supabase_platform.project_caller import (
    ReachableProject,
    TheCaller,
    key_in,
)
from ghostcrm_provisioning.supabase_platform.reading import Question, describe_schema, read_rows
from ghostcrm_provisioning.supabase_platform.refusal import Refusal
from ghostcrm_provisioning.supabase_platform.routes.configuration import POSTGREST_DEFAULTS

router = APIRouter(prefix="/project/{ref}/rest/v1")


@router.get("/")
async def describe(
    request: Request, platform: ThePlatform, project: ReachableProject, caller: TheCaller
) -> dict[str, Any]:
    """Since April 2026 the gateway lets nobody see it but who has a secret key, whatever token comes
    with another one."""
    key = key_in(request)
    if (await platform.keys.caller(project, key)).role != "service_role":
        if key.startswith("sb_"):
            message = "Secret API key required"
            hint = "Only secret API keys can be used for this endpoint."
        else:
            message = "Invalid API key"
            hint = "Only the `service_role` API key can be used for this endpoint."
        raise Refusal(401, message, body={"message": message, "hint": hint})
    schema = _schema(request, project)
    async with platform.databases.as_services(project) as connection:
        return await describe_schema(connection, caller, schema)


@router.get("/{table}")
async def read_table(
    request: Request,
    platform: ThePlatform,
    project: ReachableProject,
    caller: TheCaller,
    table: str,
) -> Response:
    schema = _schema(request, project)
    settings = _settings(project)
    question = Question(
        schema=schema,
        table=table,
        parameters=request.query_params.multi_items(),
        largest_page=int(settings["max_rows"]),
    )
    async with platform.databases.as_services(project) as connection:
        rows = await read_rows(connection, caller, question)
    return Response(rows, media_type="application/json")


def _settings(project: Project) -> dict[str, Any]:
    return {**POSTGREST_DEFAULTS, **project.postgrest_settings}


def _schema(request: Request, project: Project) -> str:
    """Raises Refusal: 406, the schema that is asked for is not exposed."""
    exposed = [name.strip() for name in str(_settings(project)["db_schema"]).split(",")]
    schema = request.headers.get("accept-profile") or exposed[0]
    if schema not in exposed:
        message = f"Invalid schema: {schema}"
        body = {"code": "PGRST106", "details": None, "hint": None, "message": message}
        raise Refusal(406, message, body=body)
    return schema
