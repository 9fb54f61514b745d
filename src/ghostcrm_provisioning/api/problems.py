"""What goes wrong inside a route, as a problem: our own errors, input that is not as declared, and what
the router has to say. No answer repeats a value that was sent: it may be a password."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ghostcrm_provisioning.errors import (
    GhostcrmError,
    InvalidInput,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    RequestTooLarge,
    WrongMediaType,
)
from ghostcrm_provisioning.web.problems import answer_with

_LONGEST_DETAIL = 300


async def answer_our_own(request: Request, error: Exception) -> Response:
    """One of our own errors."""
    assert isinstance(error, GhostcrmError)
    return answer_with(error, request.scope)


async def answer_invalid(request: Request, error: Exception) -> Response:
    """Input that is not as the route declares it."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        where = problems[0]["loc"][-1]
        return answer_with(
            MalformedRequest(f"The body is not JSON (at character {where})."), request.scope
        )
    errors = [
        {
            "pointer": _pointer(problem["loc"]),
            "code": str(problem["type"]),
            "detail": _detail(problem),
        }
        for problem in problems
    ]
    named = dict.fromkeys(each["pointer"] for each in errors[:5])
    places = ", ".join("the body" if pointer == "#" else pointer for pointer in named)
    return answer_with(
        InvalidInput(
            f"What was sent is not as it has to be: {places}.",
            next_step="Correct what `errors` names, and send it again; nothing was changed.",
        ),
        request.scope,
        errors=errors,
    )


async def answer_http(request: Request, error: Exception) -> Response:
    """What the router or the framework refuses."""
    assert isinstance(error, HTTPException)
    return answer_with(_of_http(request, error), request.scope)


def _of_http(request: Request, error: HTTPException) -> GhostcrmError:
    if isinstance(error.__cause__, GhostcrmError):
        return error.__cause__
    if error.status_code == 404:
        return NotFound(
            "There is nothing at this address.", next_step="See all addresses at /docs."
        )
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(f"This address does not take {request.method}.", allow=allow)
    if error.status_code == 413:
        return RequestTooLarge()
    if error.status_code == 415:
        return WrongMediaType()
    return MalformedRequest(
        "The body cannot be read.", next_step="Send JSON in UTF-8, not nested too deeply."
    )


def _pointer(location: tuple[Any, ...]) -> str:
    """``#/clientData/name`` in the body (a JSON Pointer), ``query/limit`` elsewhere."""
    place, *path = (str(part) for part in location)
    escaped = [part.replace("~", "~0").replace("/", "~1") for part in path]
    return "/".join(["#", *escaped]) if place == "body" else "/".join([place, *escaped])


def _detail(problem: Any) -> str:
    """pydantic's sentence, without what some of them quote of the value."""
    kind, location = str(problem["type"]), tuple(problem["loc"])
    if kind == "missing":
        return "The request has no body." if location == ("body",) else "It is missing."
    if kind in {"model_attributes_type", "model_type", "dict_type"}:
        return "It has to be a JSON object."
    if kind == "extra_forbidden":
        return "There is no such field here."
    sentence = str(problem["msg"]).removeprefix("Value error, ")
    if kind.endswith(("_parsing", "_from_datetime_parsing")):
        sentence = sentence.partition(",")[0]
    return sentence[:_LONGEST_DETAIL]


def register(application: FastAPI) -> None:
    """Have the application answer with problems."""
    application.add_exception_handler(GhostcrmError, answer_our_own)
    application.add_exception_handler(RequestValidationError, answer_invalid)
    application.add_exception_handler(HTTPException, answer_http)
