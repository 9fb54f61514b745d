"""Errors as RFC 9457 problem details: the error's code, what to do next, and no internal detail.

What a command would be the next step for is said in the words of the API. A traceback goes into the log
and nowhere else.
"""

from __future__ import annotations

import json
import math
import re
from html import escape
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from ghostcrm_provisioning.errors import (
    GhostcrmError,
    MethodNotAllowed,
    NotAuthenticated,
    ToldToWait,
    TooManyRequests,
)
from ghostcrm_provisioning.web.headers import DASHBOARD

MEDIA_TYPE = "application/problem+json"
ERRORS_PAGE = "/docs/errors"

# For what never comes as far as the dashboard, which has better ones.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>{title}</h1><p>{detail}</p><p>Status {status}, request {requestId}</p>
<p><a href="/admin">Back to the dashboard</a></p></main></body></html>
"""
# When to send it again, where nothing is known of how long it will take.
_SOON_SECONDS = "2"
_COMMAND = re.compile(r"`ghostcrm (?P<words>[a-z]+(?: [a-z-]+)*)(?P<rest>(?: [^`]+)?)`")
_AS_CALL = {
    "clients list": "GET /api/admin/clients",
    "clients show": "GET /api/admin/clients/{id}",
    "clients explain": "GET /api/admin/clients/{id}/explain",
    "clients retry": "POST /api/admin/clients/{id}/retry",
    "clients connect": "POST /api/admin/clients/{id}/connect",
    "clients release": "POST /api/admin/clients/{id}/release",
    "clients verdicts": "GET /api/admin/clients/{id}/verdicts",
    "clients suspend": "POST /api/admin/clients/{id}/suspend",
    "clients resume": "POST /api/admin/clients/{id}/resume",
    "clients delete": "DELETE /api/admin/clients/{id}",
    "clients rotate": "POST /api/admin/clients/{id}/rotate",
    "clients change-plan": "POST /api/admin/clients/{id}/change-plan",
    "verify": "POST /api/admin/clients/{id}/verify",
    "provision": "POST /api/admin/provision-client",
    "queue status": "GET /api/admin/provision-client/status",
    "notifications list": "GET /api/admin/notifications",
    "admin list": "GET /api/admin/admins",
    "admin create": "POST /api/admin/admins",
    "admin token create": "POST /api/admin/tokens",
    "admin token list": "GET /api/admin/tokens",
    "doctor": "GET /readyz",
}


def hint_of(next_step: str) -> str:
    """The next step with each command replaced by, or followed by, the call that does the same."""
    words = _COMMAND.sub(_call, next_step)
    return words.replace("`--allow-over-limit`", "`allowOverLimit: true`").replace("`--id`", "`id`")


def _call(command: re.Match[str]) -> str:
    call = _AS_CALL.get(command["words"])
    # What a file of the caller's machine holds, only the command takes.
    if call is None or "--database-" in command["rest"]:
        return command[0]
    words = command["rest"].split()
    client_id = words[0] if words and not words[0].startswith("-") else "ID"
    return f"`{call.replace('{id}', client_id)}`"


def problem_of(
    error: GhostcrmError, scope: Scope, *, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """The document of an error."""
    document: dict[str, Any] = {
        "type": f"{ERRORS_PAGE}#{error.code}",
        "title": (type(error).__doc__ or error.code).splitlines()[0],
        "status": error.http_status,
        "detail": error.message,
        "instance": scope["path"],
        "code": error.code,
        "hint": hint_of(error.next_step),
        "docsUrl": f"{ERRORS_PAGE}#{error.code}",
        "requestId": scope.get("state", {}).get("request_id", ""),
        "retryable": error.retryable,
    }
    if errors is not None:
        document["errors"] = errors
    return document


def answer_with(
    error: GhostcrmError, scope: Scope, *, errors: list[dict[str, str]] | None = None
) -> Response:
    """The answer to a request that met ``error``; a page, when a browser asked for one."""
    if _wants_page(scope):
        return Response(
            _PAGE.format(
                **{
                    name: escape(str(value))
                    for name, value in problem_of(error, scope).items()
                    if name in {"status", "title", "detail", "requestId"}
                }
            ),
            status_code=error.http_status,
            media_type="text/html",
            headers=_headers(error),
        )
    return Response(
        json.dumps(problem_of(error, scope, errors=errors), ensure_ascii=False),
        status_code=error.http_status,
        media_type=MEDIA_TYPE,
        headers=_headers(error),
    )


def _wants_page(scope: Scope) -> bool:
    if not scope["path"].startswith(DASHBOARD):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _headers(error: GhostcrmError) -> dict[str, str]:
    if isinstance(error, NotAuthenticated):
        return {"WWW-Authenticate": 'Bearer realm="ghostcrm"'}
    if isinstance(error, TooManyRequests | ToldToWait):
        return {"Retry-After": str(max(1, math.ceil(error.wait_seconds)))}
    if error.retryable and error.http_status in {409, 503}:
        return {"Retry-After": _SOON_SECONDS}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": str(error.details.get("allow", ""))}
    return {}
