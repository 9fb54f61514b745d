"""Who comes in: every request for the API is met here before anything of its body is read.

In this order: is there such a method, who is asking, how often, may he, and is it JSON. A route is let
through only for the scope that it declares (``requires``), which it checks once more itself.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.api.authentication import refuse_without, whose_token
from ghostcrm_provisioning.errors import (
    MethodNotAllowed,
    NotAuthenticated,
    TooManyRequests,
    WrongMediaType,
)
from ghostcrm_provisioning.web.headers import DASHBOARD
from ghostcrm_provisioning.web.route_table import Found, Route
from ghostcrm_provisioning.web.site import Site


class Gate:
    """Meets requests for the API; those for the dashboard pass, it has a guard of its own."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_of_dashboard(scope["path"]):
            found: Found | None = scope["state"]["found"]
            if found is not None:  # else the router says that there is nothing
                await self._meet(scope, found)
        await self._app(scope, receive, send)

    async def _meet(self, scope: Connection, found: Found) -> None:
        route = found.route
        if route is None:
            raise MethodNotAllowed(
                f"{found.template} does not take {scope['method'][:20]}.",
                allow=", ".join(sorted(found.allowed)),
            )
        if route.needs_token:
            state = scope["state"]
            principal = await self._recognise(scope)
            state["principal"] = principal
            state["standing"] = await self._site.rate_limits.principals.count(str(principal.id))
            if route.scope is not None:
                refuse_without(route.scope, principal)
        _refuse_other_than_json(scope, route)

    async def _recognise(self, scope: Connection) -> Principal:
        """Whoever is asking. A right token is taken however many wrong ones came from its address:
        or whoever shares it, behind one proxy, could be locked out by anybody."""
        try:
            return await whose_token(self._site, _header(scope, b"authorization"))
        except NotAuthenticated:
            if await self._site.rate_limits.refusals.is_used_up(scope["state"]["address_group"]):
                raise TooManyRequests(
                    "Too many requests without a valid token came from this address."
                ) from None
            raise


def _is_of_dashboard(path: str) -> bool:
    return path == DASHBOARD or path.startswith(f"{DASHBOARD}/")


def _refuse_other_than_json(scope: Connection, route: Route) -> None:
    if not route.takes_body:
        return
    kind = _header(scope, b"content-type").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        # Without any body it is the route that says what is missing.
        if not kind and _header(scope, b"content-length") in {"", "0"}:
            return
        raise WrongMediaType


def _header(scope: Connection, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""
