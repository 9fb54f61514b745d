"""The headers that every answer has: nothing is kept, framed, sniffed, or loaded from elsewhere."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message

DASHBOARD = "/admin"
# What is no page needs nothing; what is one takes only what comes from us, and no inline script.
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'; object-src 'none'"
)
_ONE_YEAR = "max-age=31536000"


def harden(message: Message, *, path: str, scheme: str, request_id: str) -> None:
    """Add them to the start of an answer; what a route has set itself stays."""
    headers = MutableHeaders(scope=message)
    is_page = (headers.get("content-type") or "").startswith("text/html")
    headers["X-Request-Id"] = request_id
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else _NOTHING)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault(
        "Referrer-Policy", "same-origin" if path.startswith(DASHBOARD) else "no-referrer"
    )
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Cache-Control", "no-store")
    if scheme == "https":
        headers.setdefault("Strict-Transport-Security", _ONE_YEAR)
