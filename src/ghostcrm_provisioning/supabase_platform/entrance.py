"""Who may ask: the access token of the Management API, its budget, and the project that is meant."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Depends, Path, Request, Response

from ghostcrm_provisioning.supabase_platform.platform import Platform
from ghostcrm_provisioning.supabase_platform.project import Project
from ghostcrm_provisioning.supabase_platform.rate_limit import Left
from ghostcrm_provisioning.supabase_platform.refusal import Refusal


class Empty(Response):
    """200, and nothing in it."""

    def render(self, content: object) -> bytes:
        return b""


Ref = Annotated[str, Path(min_length=20, max_length=20, pattern="^[a-z]+$")]


def platform_of(request: Request) -> Platform:
    """The platform that this request came to."""
    platform = request.app.state.platform
    assert isinstance(platform, Platform)
    return platform


ThePlatform = Annotated[Platform, Depends(platform_of)]


def bearer(request: Request) -> str:
    """The token of the ``Authorization`` header; empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def with_token(request: Request, platform: ThePlatform) -> None:
    """Raises Refusal: 401, there is no token, or it is not ours."""
    token = bearer(request)
    if not token or not platform.identity.knows(token):
        raise Refusal(401, "Unauthorized")


async def within_budget(request: Request, response: Response, platform: ThePlatform) -> None:
    """Counts the request. Raises Refusal: 429, there were too many in this minute."""
    await with_token(request, platform)
    route = request.scope["route"].path
    left = platform.rate_limit.spend(request.method, route, await _counted_for(request))
    request.state.left = left
    response.headers.update(left.headers)
    if left.exceeded:
        raise Refusal(429, "ThrottlerException: Too Many Requests")


def headers_of_refusal(request: Request) -> dict[str, str]:
    """What a refusal says of the budget, where there is one."""
    left = getattr(request.state, "left", None)
    return left.headers if isinstance(left, Left) else {}


async def _counted_for(request: Request) -> str:
    """The project or organization whose budget it is; the user's where none is named."""
    named = request.path_params.get("ref") or request.path_params.get("slug")
    if named:
        return str(named)
    if request.method == "POST" and request.url.path == "/v1/projects":
        try:
            return str((await request.json())["organization_slug"])
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            return "user"
    return "user"


async def project_of(ref: Ref, platform: ThePlatform) -> Project:
    """The project that the path names; any that was not removed."""
    return await platform.project(ref)


TheProject = Annotated[Project, Depends(project_of)]


async def running_project_of(project: TheProject, platform: ThePlatform) -> Project:
    """Raises Refusal: its database is not there yet (544), or it is paused (400)."""
    status = project.shown_status(platform.times)
    if status == "ACTIVE_HEALTHY":
        return project
    if status in {"UNKNOWN", "COMING_UP", "RESTORING", "RESTARTING"}:
        raise Refusal(544, "Connection terminated due to connection timeout")
    raise Refusal(400, f"Project is not running: its status is {status}.")


RunningProject = Annotated[Project, Depends(running_project_of)]
