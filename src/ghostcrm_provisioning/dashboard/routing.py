"""All pages of the dashboard, in one place: an application of its own below ``/admin``.

It is mounted so that its errors are pages while the API's are problems. What is an error and what to do
about it is the errors' own business.
"""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from ghostcrm_provisioning.dashboard.pages import PAGES
from ghostcrm_provisioning.dashboard.rendering import PREFIX, render
from ghostcrm_provisioning.dashboard.shown_once import add_shown_once
from ghostcrm_provisioning.dashboard.signing_in import (
    CHANGE_PASSWORD,
    LIVE_HEADER,
    PasswordChangeNeeded,
    SignInNeeded,
    sign_in_path,
)
from ghostcrm_provisioning.errors import GhostcrmError

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_TITLES = {
    400: "This address cannot be read",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This page does not take that",
    409: "This cannot be done now",
    413: "That is too large",
    422: "That cannot be accepted",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "Not available at the moment",
}


def add_dashboard(application: FastAPI) -> None:
    """Add the pages to the application."""

    async def lead_in() -> RedirectResponse:
        return RedirectResponse(f"{PREFIX}/", status_code=307)

    application.add_api_route(PREFIX, lead_in, include_in_schema=False)
    application.mount(PREFIX, make_dashboard(application))


def make_dashboard(parent: FastAPI) -> FastAPI:
    """The application of the pages. It has the state of its parent: the site that all requests find."""
    dashboard = FastAPI(title="GhostCRM dashboard", openapi_url=None, docs_url=None, redoc_url=None)
    dashboard.state = parent.state
    add_shown_once(dashboard)
    dashboard.add_middleware(_Guarded)
    for router in PAGES:
        dashboard.include_router(router)
    dashboard.mount("/static", _Static(directory=Path(str(files(__package__))) / "static"))
    dashboard.add_exception_handler(SignInNeeded, _lead_to_sign_in)
    dashboard.add_exception_handler(PasswordChangeNeeded, _lead_to_change_password)
    dashboard.add_exception_handler(GhostcrmError, _show_our_error)
    dashboard.add_exception_handler(HTTPException, _show_http_error)
    dashboard.add_exception_handler(RequestValidationError, _show_unreadable)
    dashboard.add_exception_handler(Exception, _show_unexpected)
    return dashboard


class _Guarded:
    """Every answer of the pages has their headers, streams and files included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        # Nothing of ours has a NUL in its name, and PostgreSQL takes none: asked once, for all pages.
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope["query_string"]):
            answer = show_error(
                Request(scope), 400, detail="There is a NUL character in this address."
            )
            await answer(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


class _Static(StaticFiles):
    """Files of ours. One that is asked for by its digest may be kept for a year."""

    def file_response(
        self, full_path: object, stat_result: object, scope: AsgiScope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)  # type: ignore[arg-type]
        is_versioned = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        )
        return response


# --- errors as pages ------------------------------------------------------------------------------


def is_script(request: Request) -> bool:
    """Whether our own script asks, in the background: it wants a status, not another page."""
    return LIVE_HEADER in request.headers


async def _lead_to_sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)
    if is_script(request):
        return Response(status_code=401)
    return RedirectResponse(sign_in_path(error.return_to), status_code=303)


async def _lead_to_change_password(request: Request, error: Exception) -> Response:
    del error
    if is_script(request):
        return Response(status_code=401)
    return RedirectResponse(CHANGE_PASSWORD, status_code=303)


async def _show_our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GhostcrmError)
    return show_error(request, error.http_status, detail=error.message, next_step=error.next_step)


async def _show_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {
        404: "No page has this address. It may have been typed wrong, or what it showed is gone.",
        405: "This address is there, but not for this kind of request.",
    }
    response = show_error(
        request,
        error.status_code,
        detail=sentences.get(error.status_code, HTTPStatus(error.status_code).phrase + "."),
    )
    response.headers.update(error.headers or {})
    return response


async def _show_unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # A part of the path that cannot be an id names nothing.
    in_path = any(problem["loc"][:1] == ("path",) for problem in error.errors())
    return show_error(
        request,
        404 if in_path else 400,
        detail="No page has this address."
        if in_path
        else "Something in the address after the question mark cannot be understood.",
    )


async def _show_unexpected(request: Request, error: Exception) -> Response:
    del error  # the log has it
    response = show_error(
        request,
        500,
        detail="This was not foreseen. Nothing is known about what was changed: look before you repeat it.",
        next_step="Report it with the request id below; the log has the details.",
    )
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = "no-store"
    return response


def show_error(
    request: Request, status: int, *, detail: str, next_step: str | None = None
) -> Response:
    """The page of an error. It shows nothing that is internal."""
    referer = request.headers.get("referer", "")
    host = request.headers.get("host", "")
    back = referer.split(host, 1)[1] if host and f"//{host}/" in referer else None
    return render(
        request,
        "error.html",
        status_code=status,
        status=status,
        title=_TITLES.get(status, HTTPStatus(status).phrase),
        detail=detail,
        next_step=next_step,
        back=back if back and back.startswith(f"{PREFIX}/") else None,
    )
