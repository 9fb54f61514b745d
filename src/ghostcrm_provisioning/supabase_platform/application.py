"""The application: all routes, and how refusals and failures become answers in Supabase's form."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.supabase_platform.entrance import headers_of_refusal
from ghostcrm_provisioning.supabase_platform.faults import FaultyDoor
from ghostcrm_provisioning.supabase_platform.platform import Platform
from ghostcrm_provisioning.supabase_platform.refusal import Refusal
from ghostcrm_provisioning.supabase_platform.routes import (
    advisors,
    api_keys,
    auth_admin,
    configuration,
    database,
    faults,
    organizations,
    projects,
    rest,
    sign_in,
    storage,
)

ROUTERS = tuple(
    module.router
    for module in (
        organizations, projects, api_keys, database, configuration, advisors, faults,
        auth_admin, sign_in, rest, storage,
    )
)  # fmt: skip

_PROJECT_HOST = re.compile(r"^(?P<ref>[a-z]{20})\.")
_PROJECT_API = re.compile(r"^/(?:auth|rest|storage)/v1(?:/|$)")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def make_routes(platform: Platform) -> FastAPI:
    """All routes of an open platform."""
    application = FastAPI(title="GhostCRM local platform", openapi_url=None)
    application.state.platform = platform
    for router in ROUTERS:
        application.include_router(router)
    application.add_exception_handler(Refusal, _answer_refusal)
    application.add_exception_handler(RequestValidationError, _answer_invalid)
    application.add_exception_handler(HTTPException, _answer_http)
    application.add_exception_handler(GhostcrmError, _answer_failure)
    application.add_exception_handler(Exception, _answer_unforeseen)
    return application


def make_application(platform: Platform) -> Application:
    """What is served: the routes, behind the door at which faults are met. A project answers under
    ``/project/<ref>``, and on a host whose first label is its ref."""
    door = FaultyDoor(make_routes(platform), platform.faults)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "\0" in scope["path"]:
            answer = JSONResponse({"message": "The path holds a NUL byte"}, status_code=400)
            await answer(scope, receive, send)
            return
        if scope["type"] == "http" and _PROJECT_API.match(scope["path"]):
            host = next(
                (value.decode("latin-1") for name, value in scope["headers"] if name == b"host"),
                "",
            )
            if (named := _PROJECT_HOST.match(host)) is not None:
                path = f"/project/{named['ref']}{scope['path']}"
                scope = {**scope, "path": path, "raw_path": path.encode()}
        await door(scope, receive, send)

    return application


async def _answer_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return JSONResponse(
        dict(error.body),
        status_code=error.status,
        headers=headers_of_refusal(request) | error.headers,
    )


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # The value stays out of it: it may be a password.
    sentences = [
        f"{'.'.join(str(part) for part in problem['loc'][1:]) or 'body'}: "
        f"{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors()
    ]
    return JSONResponse(
        {"message": "; ".join(sentences)}, status_code=400, headers=headers_of_refusal(request)
    )


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = str(error.detail)
    if error.status_code in {404, 405}:
        message = f"Cannot {request.method} {request.url.path}"
    return JSONResponse(
        {"message": message}, status_code=404 if error.status_code == 405 else error.status_code
    )


async def _answer_failure(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GhostcrmError)
    if isinstance(error.__cause__, psycopg.DataError):
        # What was sent is nothing that PostgreSQL stores: a NUL byte, a number that is too large.
        return JSONResponse(
            {"message": "A value that was sent cannot be stored"},
            status_code=400,
            headers=headers_of_refusal(request),
        )
    get_logger("platform").error(
        "request_failed", method=request.method, path=request.url.path, error=error.message
    )
    return JSONResponse(
        {"message": error.message}, status_code=500, headers=headers_of_refusal(request)
    )


async def _answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
    get_logger("platform").error(
        "request_failed", method=request.method, path=request.url.path, exc_info=error
    )
    return JSONResponse({"message": "Internal server error"}, status_code=500)
