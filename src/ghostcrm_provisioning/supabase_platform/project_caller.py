"""Who asks a project's own API: the key of the ``apikey`` header, the token of ``Authorization``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from ghostcrm_provisioning.supabase_platform.entrance import Ref, ThePlatform, bearer
from ghostcrm_provisioning.supabase_platform.keys import Caller, read_token
from ghostcrm_provisioning.supabase_platform.project import Project
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

_NEW_KEYS = ("sb_publishable_", "sb_secret_")


async def reachable_project_of(ref: Ref, platform: ThePlatform) -> Project:
    """Raises Refusal: there is no such project (404), it is paused (540), or still coming up (503)."""
    try:
        project = await platform.project(ref)
    except Refusal:
        raise Refusal(404, "Project not found") from None
    status = project.shown_status(platform.times)
    if status == "ACTIVE_HEALTHY":
        return project
    if status in {"UNKNOWN", "COMING_UP", "RESTORING"}:
        raise Refusal(503, "The project is coming up")
    raise Refusal(540, "Project paused")


ReachableProject = Annotated[Project, Depends(reachable_project_of)]


def key_in(request: Request) -> str:
    """The key of the project that comes with a request; empty when there is none."""
    return request.headers.get("apikey") or request.query_params.get("apikey") or ""


async def caller_of(request: Request, platform: ThePlatform, project: ReachableProject) -> Caller:
    """Whom the key and the token name; the token counts where both are there.

    Raises:
        Refusal: 401, there is no key, or one of them is not valid.
    """
    token = bearer(request)
    key = key_in(request)
    if not key:
        message = "No API key found in request"
        hint = "No `apikey` request header or url param was found."
        raise Refusal(401, message, body={"message": message, "hint": hint})
    by_key = await platform.keys.caller(project, key)
    # A new key is no token; clients that send it as one too mean nothing by it.
    if not token or token == key or token.startswith(_NEW_KEYS):
        return by_key
    return read_token(project, token)


TheCaller = Annotated[Caller, Depends(caller_of)]
