"""A project's REST API, read-only: what does whoever has this key see?"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ghostcrm_provisioning.supabase_platform.entrance import ThePlatform
from ghostcrm_provisioning.supabase_platform.project_caller import ReachableProject, TheCaller
from ghostcrm_provisioning.supabase_platform.reading import Question, read_rows
from ghostcrm_provisioning.supabase_platform.refusal import Refusal
from ghostcrm_provisioning.supabase_platform.routes.configuration import POSTGREST_DEFAULTS

router = APIRouter(prefix="/project/{ref}/rest/v1")


@router.get("/{table}")
async def read_table(
    request: Request,
    platform: ThePlatform,
    project: ReachableProject,
    caller: TheCaller,
    table: str,
) -> Response:
    settings = {**POSTGREST_DEFAULTS, **project.postgrest_settings}
    exposed = [name.strip() for name in str(settings["db_schema"]).split(",")]
    schema = request.headers.get("accept-profile") or exposed[0]
    if schema not in exposed:
        message = f"Invalid schema: {schema}"
        body = {"code": "PGRST106", "details": None, "hint": None, "message": message}
        raise Refusal(406, message, body=body)
    question = Question(
        schema=schema,
        table=table,
        parameters=request.query_params.multi_items(),
        largest_page=int(settings["max_rows"]),
    )
    async with platform.databases.as_services(project) as connection:
        rows = await read_rows(connection, caller, question)
    return Response(rows, media_type="application/json")
