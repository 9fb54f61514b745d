"""``/docs``: every operation of ``/openapi.json`` on one page, with a form to try it, and every error.

Rendered here, with a style sheet and a script of ours and nothing from elsewhere. The token that is
typed into the page stays in the memory of that page.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup, escape

from ghostcrm_provisioning.api.openapi import Document
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.web.headers import DASHBOARD
from ghostcrm_provisioning.web.problems import hint_of

router = APIRouter(include_in_schema=False)

_METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 8
_CODE = re.compile(r"`([^`]+)`")
_STATIC = {"docs.css": "text/css; charset=utf-8", "docs.js": "text/javascript; charset=utf-8"}


def _prose(text: str) -> Markup:
    """A sentence with `code` in it."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


_PAGES = Environment(
    loader=PackageLoader(__package__), autoescape=select_autoescape(default=True), trim_blocks=True
)
_PAGES.filters["prose"] = _prose


@router.get("/")
async def front_door() -> RedirectResponse:
    """Whoever types the address into a browser wants the dashboard."""
    return RedirectResponse(DASHBOARD, status_code=307)


@router.get("/docs")
async def operations_page(request: Request) -> HTMLResponse:
    """Every operation."""
    document = request.app.openapi()
    page = _PAGES.get_template("docs.html").render(
        title=document["info"]["title"],
        version=document["info"]["version"],
        introduction=document["info"]["description"].split("\n\n"),
        groups=groups_of(document),
    )
    return HTMLResponse(page)


@router.get("/docs/errors")
async def errors_page() -> HTMLResponse:
    """Every error."""
    errors = sorted(_every_error(), key=lambda error: (error.http_status, error.code))
    return HTMLResponse(
        _PAGES.get_template("errors.html").render(
            errors=[
                {
                    "code": error.code,
                    "status": error.http_status,
                    "meaning": (error.__doc__ or "").splitlines()[0],
                    "hint": hint_of(error.default_next_step),
                    "retryable": error.retryable,
                }
                for error in errors
            ]
        )
    )


@router.get("/docs/docs.css")
async def style_sheet() -> Response:
    """The style of both pages."""
    return _static("docs.css")


@router.get("/docs/docs.js")
async def script() -> Response:
    """What sends the forms."""
    return _static("docs.js")


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def _static(name: str) -> Response:
    return Response(
        _text(name), headers={"Content-Type": _STATIC[name], "Cache-Control": "max-age=300"}
    )


def _every_error(error: type[GhostcrmError] = GhostcrmError) -> list[type[GhostcrmError]]:
    return [error, *(each for child in error.__subclasses__() for each in _every_error(child))]


def groups_of(document: Document) -> list[dict[str, Any]]:
    """The operations in the groups of their tags."""
    groups: dict[str, dict[str, Any]] = {
        tag["name"]: {"name": tag["name"], "description": tag["description"], "operations": []}
        for tag in document.get("tags", [])
    }
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                name = (operation.get("tags") or ["other"])[0]
                group = groups.setdefault(name, {"name": name, "description": "", "operations": []})
                group["operations"].append(_operation(document, path, method, operation))
    return [group for group in groups.values() if group["operations"]]


def _operation(document: Document, path: str, method: str, operation: Document) -> dict[str, Any]:
    body = _body_example(document, operation)
    parameters = [
        {
            "name": each["name"],
            "place": each["in"],
            "required": each.get("required", False),
            "description": each.get("description", ""),
            "type": _type(document, each.get("schema", {})),
        }
        for each in operation.get("parameters", [])
    ]
    return {
        "id": f"{method}-{re.sub(r'[^a-z0-9]+', '-', path.lower()).strip('-')}",
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "scope": operation.get("x-scope"),
        "parameters": parameters,
        "body": body,
        "curl": _curl(method, path, operation.get("x-scope") is not None, body),
        "is_stream": "text/event-stream" in str(operation["responses"].get("200", "")),
        "responses": [
            {"status": status, "description": response.get("description", "")}
            for status, response in operation["responses"].items()
        ],
    }


def _curl(method: str, path: str, with_token: bool, body: str | None) -> str:
    parts = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    lines = [" ".join([*parts, f"$GHOSTCRM{path}"])]
    if with_token:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(json.loads(body))}'"]
    return " \\\n  ".join(lines)


def _body_example(document: Document, operation: Document) -> str | None:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return None
    return json.dumps(example_of(document, schema), indent=2, ensure_ascii=False)


def example_of(document: Document, schema: Document, depth: int = 0) -> Any:
    """An example of what the schema describes, from the examples in it."""
    if depth > _DEEPEST:
        return None
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return example_of(document, document["components"]["schemas"][name], depth + 1)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example_of(document, schema[key][0], depth + 1)
    if "properties" in schema:
        required = set(schema.get("required", ()))
        return {
            name: example_of(document, each, depth + 1)
            for name, each in schema["properties"].items()
            if name in required or "examples" in each
        }
    return _plain_example(document, schema, depth)


def _plain_example(document: Document, schema: Document, depth: int) -> Any:
    match schema.get("type"):
        case "array":
            return [example_of(document, schema.get("items", {}), depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case "object":
            return {}
        case _:
            formats = {
                "uuid": "52d3a2c1-8c1e-4f0e-9d52-3a1f6d1f0a11",
                "date-time": "2026-11-29T10:41:07Z",
            }
            return formats.get(schema.get("format", ""), "text")


def _type(document: Document, schema: Document) -> str:
    if "$ref" in schema:
        return _type(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        kinds = [_type(document, each) for each in schema["anyOf"]]
        return " | ".join(kind for kind in dict.fromkeys(kinds) if kind != "null")
    limits = [
        f"{sign} {schema[name]:g}"
        for name, sign in (("minimum", "≥"), ("maximum", "≤"))
        if name in schema
    ]
    kind = schema.get("format") or schema.get("type", "text")
    return ", ".join([kind, *limits])
