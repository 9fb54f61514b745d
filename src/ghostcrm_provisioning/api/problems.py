"""Errors as RFC 9457 problem details: the error's code, what to do next, and no internal detail."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.errors import GhostcrmError


async def answer_with_problem(request: Request, error: Exception) -> JSONResponse:
    """The problem document of one of our own errors."""
    assert isinstance(error, GhostcrmError)
    return JSONResponse(
        {
            "type": "about:blank",
            "title": (type(error).__doc__ or error.code).splitlines()[0],
            "status": error.http_status,
            "detail": error.message,
            "instance": request.url.path,
            "code": error.code,
            "hint": error.next_step,
            "retryable": error.retryable,
        },
        status_code=error.http_status,
        media_type="application/problem+json",
    )


def register(application: FastAPI) -> None:
    """Have the application answer with problems."""
    application.add_exception_handler(GhostcrmError, answer_with_problem)
