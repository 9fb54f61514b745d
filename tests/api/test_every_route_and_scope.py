"""Every route declares what it asks for, and lets in exactly those who have it. The routes are read from the
application: a new one that declares nothing fails here."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import httpx
from fastapi import FastAPI

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.routing import PUBLIC
from ghostcrm_provisioning.serving import make_application
from ghostcrm_provisioning.web.headers import DASHBOARD
from ghostcrm_provisioning.web.route_table import Route, RouteTable
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling

_PARAMETER = re.compile(r"\{[^}]+\}")


def routes_of(installation: Installation) -> list[Route]:
    return [
        route
        for route in RouteTable(make_application(installation)).routes
        if not route.template.startswith(f"{DASHBOARD}/") and route.template != DASHBOARD
    ]


def path_of(route: Route) -> str:
    """The route's address with ids that there are not."""
    return _PARAMETER.sub(str(uuid4()), route.template)


def leave_streams(caller: httpx.AsyncClient) -> None:
    """Have streams end as soon as they have told what is so."""
    transport = caller._transport
    assert isinstance(transport, httpx.ASGITransport)
    assert isinstance(transport.app, FastAPI)
    transport.app.state.site.leaving.set()


async def test_every_route_declares_its_scope_or_is_public(installation: Installation) -> None:
    routes = routes_of(installation)
    assert len(routes) > 10
    without = {route.template for route in routes if route.scope is None}
    assert without - PUBLIC == {"/api/admin/me"}, "who you are is told to everybody whom we know"
    assert not {route.template for route in routes if route.needs_token} & PUBLIC
    assert all(route.template.startswith("/api/") for route in routes if route.scope is not None)


async def test_every_scope_opens_its_routes_and_no_others(
    installation: Installation,
    calling: Calling,
    record_property: Callable[[str, object], None],
) -> None:
    callers: dict[str, httpx.AsyncClient] = {"nobody": await calling()}
    for scope in Scope:
        callers[scope.value] = await calling(scope)
    leave_streams(callers["nobody"])
    tried = 0
    for route in routes_of(installation):
        if route.scope is None:
            continue
        for method in sorted(route.methods - {"HEAD"}):
            for name, caller in callers.items():
                # A body that no route takes: whoever is let in is told so, and nothing is changed.
                answer = await caller.request(
                    method, path_of(route), json=[] if route.takes_body else None
                )
                tried += 1
                what = (
                    f"{name}: {method} {route.template}: {answer.status_code} {answer.text[:200]}"
                )
                assert answer.status_code < 500, what
                if name == "nobody":
                    assert answer.status_code == 401, what
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer"), what
                elif (
                    name in {route.scope.value, Scope.ADMIN.value}
                    # The one right that holds another.
                    or (name, route.scope.value) == ("clients:write", "clients:read")
                ):
                    assert answer.status_code not in {401, 403}, what
                else:
                    assert answer.status_code == 403, what
                    assert answer.json()["code"] == "not_permitted", what
    record_property(
        "summary", f"{tried} calls: every endpoint with every scope, and without a token"
    )


async def test_a_token_that_is_wrong_opens_nothing(
    installation: Installation, calling: Calling
) -> None:
    caller = await calling()
    for wrong in ("gcp_abcdefgh_" + "x" * 43, "x", "", "é"):
        for route in routes_of(installation):
            if route.scope is None:
                continue
            answer = await caller.request(
                min(route.methods),
                path_of(route),
                headers=[(b"Authorization", f"Bearer {wrong}".encode())],
            )
            assert answer.status_code in {401, 429}, (route.template, answer.text)
