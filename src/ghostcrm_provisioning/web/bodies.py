"""Bodies are read whole, up to a limit, before a route sees them: chunked ones as well."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ghostcrm_provisioning.errors import MalformedRequest, RequestTooLarge, SentTooSlowly
from ghostcrm_provisioning.web.headers import DASHBOARD

# Forms are small; and the one for signing in is read from whoever sends it, for as long as he takes.
LARGEST_FORM_BYTES = 64 * 1024
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Bodies:
    """Reads the body; leaves it as ``state["body"]`` for who needs it before the route does."""

    def __init__(self, app: ASGIApp, *, largest: int, seconds: float) -> None:
        self._app = app
        self._largest = largest
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        largest = self._largest
        if scope["path"].startswith(DASHBOARD):
            largest = min(largest, LARGEST_FORM_BYTES)
        _check_length(scope, largest)
        if scope["method"] not in _METHODS:
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds):
                body = await _read(receive, largest)
        except TimeoutError:
            raise SentTooSlowly from None
        if body is None:
            return  # the caller has gone
        scope["state"]["body"] = body
        is_given = False

        async def given() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, given, send)


def _check_length(scope: Scope, largest: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                raise MalformedRequest("The Content-Length is no number.")
            if int(value) > largest:
                _refuse(largest)


async def _read(receive: Receive, largest: int) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > largest:
            _refuse(largest)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _refuse(largest: int) -> None:
    raise RequestTooLarge(f"A request's body may have {largest:,} bytes at most here.")
