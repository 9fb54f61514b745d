"""Nobody sees a page, or changes anything, without being signed in, having the right, and meaning it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.dashboard.routing import make_dashboard
from ghostcrm_provisioning.dashboard.signing_in import safe_return_path
from ghostcrm_provisioning.web.site import Site
from ghostcrm_provisioning.wiring import Installation
from tests.dashboard.conftest import HOST, Visiting

# What is for everybody: signing in, and the choice of colours, which changes nothing of ours.
FOR_EVERYBODY = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/theme")}


@dataclass(frozen=True)
class Place:
    """A method and a path below /admin, and what its function depends on."""

    method: str
    path: str
    dependant: Dependant


def places_of(application: FastAPI) -> list[Place]:
    return [
        Place(method, context.path or "", dependant)
        for context in iter_route_contexts(application.routes)
        if isinstance(dependant := getattr(context, "dependant", None), Dependant)
        for method in sorted(context.methods or ())
    ]


def guards_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for inner in dependant.dependencies:
        if inner.call is not None and hasattr(inner.call, "scope"):
            yield inner.call
        yield from guards_of(inner)


def test_every_page_and_every_form_has_its_guard() -> None:
    places = places_of(make_dashboard(FastAPI()))
    assert len(places) > 20
    unguarded, forgeable = [], []
    for place in places:
        if (place.method, place.path) in FOR_EVERYBODY:
            continue
        guards = list(guards_of(place.dependant))
        if not guards:
            unguarded.append(f"{place.method} {place.path}")
        if place.method != "GET" and not any(hasattr(guard, "is_form") for guard in guards):
            forgeable.append(f"{place.method} {place.path}")
    assert unguarded == []
    assert forgeable == []


async def test_nobody_sees_a_page_without_signing_in(
    stranger: httpx.AsyncClient, application: FastAPI
) -> None:
    seen = 0
    for place in places_of(make_dashboard(application)):
        if place.method != "GET" or "{" in place.path or place.path == "/sign-in":
            continue
        answer = await stranger.get(f"/admin{place.path}")
        assert answer.status_code == 303, place.path
        assert answer.headers["location"].startswith("/admin/sign-in"), place.path
        seen += 1
    assert seen > 8


async def test_the_sign_in_leads_back_to_the_page_that_was_asked_for(
    stranger: httpx.AsyncClient, visiting: Visiting
) -> None:
    answer = await stranger.get("/admin/audit?actor=token%3Aci")
    assert (
        answer.headers["location"]
        == "/admin/sign-in?return_to=%2Fadmin%2Faudit%3Factor%3Dtoken%253Aci"
    )
    visitor = await visiting(Scope.ADMIN, is_signed_in=False)
    answer = await visitor.sign_in(return_to="/admin/audit?actor=token%3Aci")
    assert answer.headers["location"] == "/admin/audit?actor=token%3Aci"


async def test_a_form_of_an_ended_session_leads_back_to_its_page(
    stranger: httpx.AsyncClient,
) -> None:
    answer = await stranger.post(
        "/admin/access/tokens/new", headers={"Referer": f"{HOST}/admin/access/tokens/new"}
    )
    assert answer.status_code == 303
    assert answer.headers["location"].endswith("return_to=%2Fadmin%2Faccess%2Ftokens%2Fnew")


async def test_a_page_that_updates_itself_is_told_that_the_session_has_ended(
    stranger: httpx.AsyncClient,
) -> None:
    assert (await stranger.get("/admin/", headers={"X-Live": "1"})).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/admin/",
        "//evil.example",
        "/admin//evil.example",
        "/admin/..//evil.example",
        "/admin/\\evil.example",
        "/admin/%0d%0aSet-Cookie:x",
        "javascript:alert(1)",
        "/administrator",
        "/api/admin/clients",
        "/admin/sign-in",
        "/admin/sign-out",
        "/admin/clients/events",
        "/admin/\N{LATIN SMALL LETTER E WITH ACUTE}",
        "/admin/a\nb",
        "/admin/" + "a" * 3000,
        "",
    ],
)
def test_nobody_is_led_to_another_place(path: str) -> None:
    # What is percent-encoded stays so, and is harmless there.
    assert safe_return_path(path) in {"/admin/", "/admin/%0d%0aSet-Cookie:x"}


def test_a_page_with_filters_is_led_back_to() -> None:
    path = "/admin/clients?search=a%20b&status=failed"
    assert safe_return_path(path) == path


async def test_a_right_that_is_missing_is_named_on_a_page_of_its_own(visiting: Visiting) -> None:
    visitor = await visiting(Scope.CLIENTS_READ)
    answer = await visitor.see("/admin/access")
    assert answer.status_code == 403
    assert "access:manage" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    menu = (await visitor.see("/admin/sessions")).text
    assert 'href="/admin/access"' not in menu
    assert 'href="/admin/clients"' in menu


async def test_a_form_from_elsewhere_changes_nothing(visiting: Visiting, site: Site) -> None:
    visitor = await visiting(Scope.ADMIN)
    token = await visitor.csrf_token()
    fields = {"name": "forged", "scopes": "admin", "lifetime": "0", "csrf_token": token}
    path = "/admin/access/tokens/new"
    forged: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"csrf_token": ""}, {}),
        ({"csrf_token": token[:-1] + ("a" if token[-1] != "a" else "b")}, {}),
        ({"csrf_token": "é"}, {}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
        ({}, {"Origin": "https://evil.example"}),
        ({}, {"Origin": "null"}),
    ]
    for wrong_fields, wrong_headers in forged:
        answer = await visitor.browser.post(path, data=fields | wrong_fields, headers=wrong_headers)
        assert answer.status_code == 403, (wrong_fields, wrong_headers)
        assert "not sent from a page of this session" in answer.text
    assert await site.tokens.list() == []
    # The same with the token of somebody else's session.
    other = await (await visiting(Scope.ADMIN)).csrf_token()
    answer = await visitor.browser.post(path, data=fields | {"csrf_token": other})
    assert answer.status_code == 403


async def test_nobody_is_signed_in_by_a_form_of_another_site(
    visiting: Visiting, stranger: httpx.AsyncClient
) -> None:
    visitor = await visiting(Scope.ADMIN, is_signed_in=False)
    fields = {"email": visitor.email, "password": "whatever", "csrf_token": ""}
    answer = await stranger.post("/admin/sign-in", data=fields)
    assert answer.status_code == 403
    assert "ghostcrm_session" not in answer.headers.get("set-cookie", "")


async def test_what_nothing_can_keep_is_refused_and_not_unforeseen(visiting: Visiting) -> None:
    visitor = await visiting(Scope.ADMIN)
    for path in (
        "/admin/audit?actor=%00",
        "/admin/audit.csv?request=a%00",
        "/admin/clients?plan=%00",
        "/admin/clients/%00",
        "/admin/static/%00",
    ):
        page = await visitor.see(path, Accept="text/html")
        assert (page.status_code, "NUL" in page.text) == (400, True), path
        assert page.headers["Content-Security-Policy"]
    token = await visitor.csrf_token()
    for headers in ({"Origin": "http://["}, {"Referer": "http://[", "Origin": "http://["}):
        answer = await visitor.browser.post(
            "/admin/sessions/end-others", data={"csrf_token": token}, headers=headers
        )
        assert answer.status_code == 403
    answer = await visitor.send("/admin/access/tokens/new", {"name": "a\0", "lifetime": "9" * 5000})
    assert answer.status_code == 422
    visitor.browser.cookies.clear()
    gone = await visitor.browser.post("/admin/sign-out", headers={"Referer": "http://["})
    assert (gone.status_code, gone.headers["Location"]) == (303, "/admin/sign-in")


async def test_reading_all_of_the_audit_log_is_itself_in_it(
    visiting: Visiting, installation: Installation
) -> None:
    visitor = await visiting(Scope.AUDIT_READ)
    assert (await visitor.see("/admin/audit.csv")).status_code == 200
    (line,) = await installation.control.fetch_all(
        "select actor from audit_log where action = 'audit.exported'"
    )
    assert line["actor"] == f"admin:{visitor.email}"
