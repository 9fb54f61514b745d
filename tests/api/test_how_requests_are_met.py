"""Every request gets an id, is limited in size, time and number, and leaves with safe headers and a problem
that says what to do; none of it repeats what was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.web.addresses import Addresses
from ghostcrm_provisioning.web.problems import hint_of
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling, StandingClock, callers_of
from tests.conftest import OpenInstallation

PROVISION = "/api/admin/provision-client"


def application_of(caller: httpx.AsyncClient) -> FastAPI:
    transport = caller._transport
    assert isinstance(transport, httpx.ASGITransport)
    assert isinstance(transport.app, FastAPI)
    return transport.app


async def audited(installation: Installation, request_id: str) -> list[dict[str, Any]]:
    return await installation.control.fetch_all(
        "select actor, action, client_id, target, result, address, details from audit_log"
        " where request_id = %(request_id)s order by id",
        request_id=request_id,
    )


@pytest.fixture
async def strict(opened: OpenInstallation, standing_clock: StandingClock) -> AsyncIterator[Calling]:
    """Callers of an application with low limits, behind a proxy that is trusted."""
    installation = await opened(
        largest_request_bytes=2048,
        requests_per_minute=5,
        requests_per_minute_and_address=30,
        refusals_per_minute_and_address=3,
        trusted_proxies="127.0.0.1",
        allowed_hosts="ghostcrm.test",
        cors_origins="https://app.example.com",
    )
    async with callers_of(installation) as calling:
        yield calling


async def test_problems_say_what_to_do_and_repeat_nothing(
    calling: Calling, installation: Installation
) -> None:
    caller = await calling(Scope.ADMIN)
    secret = "correct horse battery staple " * 4
    sent = {"clientData": {"name": 7, "adminEmail": "x@example.com", "adminPassword": [secret]}}
    answer = await caller.post(PROVISION, json=sent, headers={"X-Request-Id": "my-request-1"})
    problem = answer.json()
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (422, "my-request-1")
    assert problem["requestId"] == "my-request-1"
    pointers = {each["pointer"]: each["code"] for each in problem["errors"]}
    assert pointers["#/clientData/name"] == "string_type"
    assert "#/clientData/adminPassword" in pointers
    assert "correct horse" not in answer.text
    lines = await audited(installation, "my-request-1")
    assert [(line["action"], line["result"], line["target"]) for line in lines] == [
        ("request.called", "refused", f"POST {PROVISION}")
    ]
    assert "correct horse" not in str(lines)

    for path, method, status, code in [
        ("/api/admin/nothing", "GET", 404, "not_found"),
        ("/nothing", "GET", 404, "not_found"),
        (PROVISION, "PUT", 405, "method_not_allowed"),
        ("/healthz", "DELETE", 405, "method_not_allowed"),
        (f"/api/admin/clients/{uuid4()}?nothing=1", "GET", 400, "unknown_parameter"),
        ("/api/admin/clients/x", "GET", 422, "invalid_input"),
        (f"/api/admin/clients/{uuid4()}", "GET", 404, "not_found"),
    ]:
        answer = await caller.request(method, path)
        problem = answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.status_code, problem["code"]) == (status, code), answer.text
        assert problem["status"] == status
        assert problem["hint"].endswith(".")
        assert "ghostcrm " not in problem["hint"]
        if status == 405:
            assert answer.headers["Allow"] in {"POST", "GET, HEAD"}

    for body, kind, status in [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/xml", 415),
        (b"", "application/json", 422),
        (b'{"clientData": {}, "more": 1}', "application/json", 422),
    ]:
        answer = await caller.post(PROVISION, content=body, headers={"Content-Type": kind})
        assert answer.status_code == status, (body[:20], answer.text)
        if not body:
            assert answer.json()["detail"] == "What was sent is not as it has to be: the body."
            assert answer.json()["errors"][0]["detail"] == "The request has no body."
    nobody = f"/api/admin/clients/{uuid4()}"
    answer = await caller.post(f"{nobody}/retry")
    assert answer.json()["detail"] == f"There is no client {nobody.rpartition('/')[2]}."


async def test_what_can_be_read_answers_to_head_but_no_stream_begins(calling: Calling) -> None:
    caller, nobody = await calling(Scope.ADMIN), await calling()
    for path in ("/healthz", "/metrics", "/docs", "/admin/sign-in", "/api/admin/clients"):
        known = await caller.get(path)
        answer = await caller.head(path)
        assert (answer.status_code, answer.content) == (known.status_code, b""), path
        assert answer.headers["Content-Type"] == known.headers["Content-Type"]
    assert (await nobody.head("/api/admin/clients")).status_code == 401
    for path in ("/api/admin/queue/events", PROVISION):
        answer = await caller.head(path)
        assert answer.status_code == 405, path
        assert "HEAD" not in answer.headers["Allow"]


async def test_every_answer_has_the_headers_that_keep_it_safe(calling: Calling) -> None:
    caller = await calling()
    for path in ("/healthz", "/docs", "/nothing", "/api/admin/clients", "/admin/sign-in"):
        answer = await caller.get(path)
        headers = answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] in {"no-referrer", "same-origin"}
        assert len(headers["X-Request-Id"]) >= 8
        assert "Strict-Transport-Security" not in headers
        assert "Access-Control-Allow-Origin" not in headers
    mad = await caller.get("/healthz", headers={"X-Request-Id": "a b\tc" * 50})
    assert mad.headers["X-Request-Id"] != "a b\tc" * 50


async def test_an_unforeseen_error_is_a_problem_without_its_text(
    calling: Calling, installation: Installation
) -> None:
    caller = await calling(Scope.ADMIN)

    async def broken() -> None:
        raise RuntimeError("the secret of the house")

    application_of(caller).add_api_route("/broken", broken)
    answer = await caller.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == "unexpected_failure"
    assert "secret of the house" not in answer.text
    (log,) = installation.settings.logs.glob("*.log")
    (line,) = [line for line in log.read_text().splitlines() if "request_failed" in line]
    assert answer.json()["requestId"] in line


async def test_a_request_that_takes_too_long_is_given_up(opened: OpenInstallation) -> None:
    async with callers_of(await opened(request_seconds=2)) as calling:
        caller = await calling(Scope.ADMIN)
        application = application_of(caller)

        async def slow() -> None:
            async with application.state.site.installation.control.connection() as connection:
                await connection.execute("select pg_sleep(600)")

        application.add_api_route("/slow", slow)
        answer = await caller.get("/slow")
        assert (answer.status_code, answer.json()["code"]) == (504, "took_too_long")


async def test_size_and_names_are_limited(strict: Calling, calling: Calling) -> None:
    caller = await strict(Scope.ADMIN)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 500

    json_kind = {"Content-Type": "application/json"}
    for content in (b"x" * 3000, chunks()):
        answer = await caller.post(PROVISION, content=content, headers=json_kind)
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")

    answer = await (await calling()).post("/admin/sign-in", content=b"x" * (64 * 1024 + 1))
    assert answer.status_code == 413, "whoever is not known yet has little to say"

    answer = await caller.get("/healthz", headers={"Host": "elsewhere.test"})
    assert answer.status_code == 200  # probes call it by whatever name
    answer = await caller.get("/docs", headers={"Host": "elsewhere.test"})
    assert answer.status_code == 400


async def test_requests_are_counted_by_caller_and_by_address(
    strict: Calling, standing_clock: StandingClock
) -> None:
    caller, other, nobody = await strict(Scope.ADMIN), await strict(Scope.ADMIN), await strict()
    path = f"/api/admin/clients/{uuid4()}"
    standings = []
    for _ in range(5):
        answer = await caller.get(path)
        assert answer.status_code == 404
        assert answer.headers["RateLimit-Policy"] == '"caller";q=5;w=60'
        standings.append(answer.headers["RateLimit"])
    assert standings[0].startswith('"caller";r=4;')
    answer = await caller.get(path)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert (await other.get(path)).status_code == 404
    # One without a valid token: first told so, then to wait; a valid one is taken nevertheless.
    statuses = [(await nobody.get(path)).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await other.get(path)).status_code == 404
    elsewhere = {"X-Forwarded-For": "198.51.100.9"}
    assert (await nobody.get(path, headers=elsewhere)).status_code == 401
    answers = [await nobody.get("/docs", headers=elsewhere) for _ in range(30)]
    assert [answer.status_code for answer in answers] == [200] * 29 + [429]
    # The window slides: when half of the minute is out of it, half of the requests are taken again.
    standing_clock.move(60)
    answers = [await nobody.get("/docs", headers=elsewhere) for _ in range(16)]
    assert [answer.status_code for answer in answers] == [200] * 15 + [429]
    standing_clock.move(120)
    assert (await caller.get(path)).headers["RateLimit"].startswith('"caller";r=4;')


async def test_a_browser_is_led_to_the_dashboard_and_shown_a_page(strict: Calling) -> None:
    nobody = await strict()
    answer = await nobody.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/admin")
    address = {"X-Forwarded-For": "198.51.100.11"}
    for _ in range(30):
        answer = await nobody.get("/admin/sign-in", headers=address | {"Accept": "text/html"})
    answer = await nobody.get("/admin/sign-in", headers=address | {"Accept": "text/html,*/*"})
    assert answer.status_code == 429
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["X-Request-Id"] in answer.text
    assert int(answer.headers["Retry-After"]) > 0


async def test_only_named_origins_may_read_from_a_browser(strict: Calling) -> None:
    caller = await strict(Scope.ADMIN)
    for origin, allowed in (("https://app.example.com", True), ("https://evil.example", False)):
        answer = await caller.get(f"/api/admin/clients/{uuid4()}", headers={"Origin": origin})
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed
        assert "Access-Control-Allow-Credentials" not in answer.headers
        asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
        preflight = await caller.options(f"/api/admin/admins/{uuid4()}", headers=asked)
        assert (preflight.status_code == 200) is allowed
    secure = await caller.get(
        "/healthz", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.4"}
    )
    assert "Strict-Transport-Security" in secure.headers


async def test_refused_calls_are_audited_once_and_a_flood_is_counted(
    calling: Calling, installation: Installation
) -> None:
    nobody, stranger = await calling(), await calling(Scope.QUEUE_READ)
    client_id = uuid4()
    answer = await stranger.get(f"/api/admin/clients/{client_id}")
    (line,) = await audited(installation, answer.headers["X-Request-Id"])
    assert line["actor"].startswith("token:test ")
    assert (line["action"], line["result"]) == ("request.refused", "refused")
    assert line["target"] == "GET /api/admin/clients/{client_id}"
    assert line["client_id"] == client_id
    assert line["address"] == "127.0.0.1"
    for _ in range(45):
        assert (await nobody.get(f"/api/admin/clients/{client_id}")).status_code == 401
    await application_of(nobody).state.site.auditor.close()
    lines = await installation.control.fetch_all(
        "select action, details from audit_log where actor = 'nobody' order by id"
    )
    assert [line["action"] for line in lines] == ["request.refused"] * 30 + ["request.flood"]
    assert lines[-1]["details"] == {"address": "127.0.0.1", "count": 15}


async def test_what_a_known_caller_sends_too_often_does_not_fill_the_audit_log(
    opened: OpenInstallation, standing_clock: StandingClock
) -> None:
    installation = await opened(requests_per_minute=2)
    async with callers_of(installation) as calling:
        caller = await calling(Scope.QUEUE_READ)
        answers = [await caller.get("/api/admin/me") for _ in range(42)]
        assert [answer.status_code for answer in answers] == [200] * 2 + [429] * 40
        await application_of(caller).state.site.auditor.close()
        lines = await installation.control.fetch_all(
            "select action, actor, details from audit_log where action like 'request.%%' order by id"
        )
    assert [line["action"] for line in lines] == ["request.refused"] * 30 + ["request.flood"]
    assert lines[0]["actor"].startswith("token:test ")
    assert lines[-1]["details"] == {"address": "127.0.0.1", "count": 10}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "nonsense, 198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", None, "10.0.0.1"),
        (None, None, "unknown"),
    ],
)
def test_an_address_is_believed_only_from_a_trusted_proxy(
    peer: str | None, forwarded: str | None, address: str
) -> None:
    addresses = Addresses("10.0.0.0/8")
    assert addresses.client(peer, "http", forwarded, None).address == address


def test_a_network_of_one_is_counted_as_one() -> None:
    client = Addresses(None).client("2001:db8:0:1::77", "http", None, "https")
    assert (client.group, client.scheme) == ("2001:db8:0:1::/64", "http")


def test_every_hint_speaks_of_calls_not_of_commands() -> None:
    errors, known = [GhostcrmError], []
    while errors:
        error = errors.pop()
        known.append(error)
        errors += error.__subclasses__()
    for error in known:
        assert "ghostcrm clients" not in hint_of(error.default_next_step), error
    assert hint_of("List them with `ghostcrm admin list`.").endswith("`GET /api/admin/admins`.")
    assert (
        hint_of("See `ghostcrm clients explain ID`.") == "See `GET /api/admin/clients/ID/explain`."
    )


async def test_an_address_with_a_slash_too_many_is_none(calling: Calling) -> None:
    """A redirection would repeat the Host that the caller sent."""
    caller = await calling(Scope.CLIENTS_READ)
    answer = await caller.get("/api/admin/clients/", headers={"Host": "elsewhere.example"})
    assert answer.status_code == 404
    assert "elsewhere" not in str(answer.headers) + answer.text
    assert (await caller.get("/admin")).is_redirect
    assert (await caller.get("/admin")).headers["location"].startswith("/admin/")
