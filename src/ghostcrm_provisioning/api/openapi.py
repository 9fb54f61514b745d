"""``/openapi.json``: what FastAPI knows of the routes, and what the layers around them add.

Every operation is given the problems that it may be answered with, the scope that it needs, and, where
it counts, the header Idempotency-Key; from the route table, so that no route can forget it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ghostcrm_provisioning.api.documents.document import (
    Problem,
)
from ghostcrm_provisioning.web.problems import MEDIA_TYPE
from ghostcrm_provisioning.web.route_table import Route, RouteTable

Document = dict[str, Any]

_METHODS = frozenset({"get", "post", "put", "patch", "delete"})
_DESCRIPTION = """\
Everything that GhostCRM's client provisioning can do, over HTTP.

Send `Authorization: Bearer TOKEN`; `ghostcrm admin token create` makes one, with the scopes that you name.
Errors are problem details (RFC 9457) with a `code`, a `hint` that says what to do next, and the
`requestId` that the logs have, too. What goes on in the background is answered with 202 and a `Location`.
A POST with an `Idempotency-Key` can be sent again: it happens once, and is answered the same way for 24
hours. Lists are pages: send `nextCursor` as `cursor` until it is null. An unknown query parameter is
refused."""
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text that is new for a new request, such as a UUID. The same key with the same "
    "request again is answered as the first one was, with `Idempotent-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
    "example": "4c6f2f0e-8f0b-4a53-9d52-0b6d1f6c1e11",
}
_WORDS = {
    400: "The request cannot be read, or has a parameter that there is not.",
    401: "There is no valid token.",
    403: "The token lacks the scope.",
    404: "There is no such thing.",
    405: "This address does not take that method.",
    408: "The body did not arrive in time.",
    409: "It contradicts what is there, or the first request with that key still runs.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The input cannot be accepted; `errors` says where. Nothing was changed.",
    429: "Too many requests; `Retry-After` says when to come back.",
    500: "Something that was not foreseen; the log has it under the `requestId`.",
    503: "It cannot be done now.",
    504: "It could not be answered in time.",
}


def describe_api(application: FastAPI) -> Document:
    """The document, made once."""
    if application.openapi_schema is not None:
        return application.openapi_schema
    document = get_openapi(
        title=application.title,
        version=application.version,
        description=_DESCRIPTION,
        routes=application.routes,
        tags=[{"name": name, "description": words} for name, words in _TAGS.items()],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schemas["Problem"].pop("$defs", {}))
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for route in RouteTable(application).routes:
        operations = document["paths"].get(_plain(route.template), {})
        for method, operation in operations.items():
            if method in _METHODS and method.upper() in route.methods:
                _complete(operation, method, route)
    application.openapi_schema = document
    return document


_TAGS = {
    "provisioning": "Have clients provisioned, as the specification has it.",
    "registrations": "For the registration endpoint of a web application.",
    "overview": "How all of it stands, at one glance.",
    "clients": "Clients, why one is not ready, and what was done for it.",
    "plans": "Another plan for a client, and what it would mean.",
    "credentials": "How to get into a client's database. Audited.",
    "isolation": "Proof that nobody sees what is not theirs.",
    "runs": "What was done for clients, step by step.",
    "queue": "What waits, what is worked on, and by whom.",
    "servers": "Servers, their room, and spares.",
    "audit": "Who did what, from where, with what result.",
    "notifications": "What operators were told.",
    "access": "Tokens and admin accounts.",
    "health": "For whoever watches the process.",
}


def _complete(operation: Document, method: str, route: Route) -> None:
    parameters: list[Document] = operation.setdefault("parameters", [])
    if route.scope is not None:
        operation["x-scope"] = route.scope.value
    if method == "post" and route.scope is not None:
        parameters.append(_IDEMPOTENCY_KEY)
    if not parameters:
        del operation["parameters"]
    responses: Document = operation["responses"]
    for status in _statuses(operation, method, route):
        known = responses.get(str(status), {})
        if "HTTPValidationError" not in str(known) and "content" in known:
            continue  # as the route itself describes it
        responses[str(status)] = _problem(status)
    operation["responses"] = dict(sorted(responses.items()))


def _statuses(operation: Document, method: str, route: Route) -> set[int]:
    statuses = {405, 429, 500, 503, 504}
    if route.needs_token:
        statuses |= {400, 401}
    if route.scope is not None:
        statuses |= {403}
    if "{" in route.template:
        statuses |= {404, 422}
    if operation.get("parameters"):
        statuses |= {400, 422}
    if method != "get":
        statuses |= {400, 408, 409, 413}
    if route.takes_body:
        statuses |= {415, 422}
    return statuses


def _problem(status: int) -> Document:
    return {
        "description": _WORDS.get(status, HTTPStatus(status).phrase),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _plain(template: str) -> str:
    """``{path:path}`` as the document writes it."""
    return "/".join(
        "{" + part[1:-1].partition(":")[0] + "}" if part.startswith("{") else part
        for part in template.split("/")
    )
