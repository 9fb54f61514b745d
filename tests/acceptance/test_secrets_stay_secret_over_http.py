"""Promise 4, over HTTP: after a full tour of API and dashboard, no secret stands in any answer but the one
that is meant to show it, in a table of the control database, or in a log.

The routes are read from the application: a new one is part of the tour.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.client_database.roles import CLIENT_LOGIN_ROLES
from ghostcrm_provisioning.following import follow, working
from ghostcrm_provisioning.serving import make_application
from ghostcrm_provisioning.web.route_table import RouteTable
from ghostcrm_provisioning.web.site import Site
from tests.acceptance.server_log import ServerLog
from tests.acceptance.test_secrets_stay_secret import _everything_in
from tests.conftest import OpenInstallation, Server
from tests.integration.control import register
from tests.integration.small_blueprint import raising, write_small_blueprint

HOST = "http://ghostcrm.test"
_CSRF = re.compile(r'name="csrf_token" value="([^"]*)"')
_PASSWORD = "Xyzzy-plugh-1717!"
_ADMINS_PASSWORD = "a horse of the battery kind"
_PROVISION = "/api/admin/provision-client"


@dataclass
class Tour:
    """Who goes round, every answer that was not meant to show a secret, and the secrets."""

    caller: httpx.AsyncClient
    browser: httpx.AsyncClient
    told: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def keep(self, answer: httpx.Response, what: str) -> httpx.Response:
        """An answer in which no secret may stand: its headers count, too."""
        headers = {k: v for k, v in answer.headers.items() if k != "set-cookie"}
        self.told[f"{len(self.told)} {what} {answer.status_code}"] = f"{headers}\n{answer.text}"
        return answer

    def learn(self, what: str, secret: str) -> None:
        assert len(secret) > 8, what
        self.secrets[what] = secret

    async def look(self, path: str) -> httpx.Response:
        who = self.browser if path.startswith("/admin") else self.caller
        return self.keep(await who.get(path), f"GET {path}")

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """A form of the dashboard."""
        found = _CSRF.search((await self.browser.get("/admin/sessions")).text) or _CSRF.search(
            (await self.browser.get("/admin/sign-in")).text
        )
        assert found is not None
        return await self.browser.post(
            path,
            data={"csrf_token": found[1], **fields},
            headers={"Sec-Fetch-Site": "same-origin", "Origin": HOST},
        )


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_no_secret_is_told_after_a_full_tour(
    opened: OpenInstallation,
    server: Server,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    log = ServerLog(server)
    installation = await opened(requests_per_minute=0, requests_per_minute_and_address=0)
    application = make_application(installation)
    site: Site = application.state.site
    transport = httpx.ASGITransport(app=application, raise_app_exceptions=True)
    async with (
        httpx.AsyncClient(transport=transport, base_url=HOST, timeout=60) as caller,
        httpx.AsyncClient(transport=transport, base_url=HOST, timeout=60) as browser,
        working(installation),
    ):
        tour = Tour(caller, browser)
        await _let_in(tour, site)
        ready, temporary = await _provision(tour)
        failed = await register(
            installation,
            "Fails",
            email="f@fails.example",
            blueprint=write_small_blueprint(tmp_path / "broken", _002_broken=raising("22012")),
        )
        await follow(installation, failed.run_id, timeout_seconds=120)
        await _ask_for_secrets(tour, ready)
        await _ask_badly(tour, ready, str(failed.client_id))
        site.leaving.set()  # streams end when they have told what is so
        await _see_everything(tour, application, clients=[ready, temporary, str(failed.client_id)])
        places = dict(tour.told) | {
            "control database": await asyncio.to_thread(_everything_in, installation.control.url),
            "PostgreSQL's log": await asyncio.to_thread(log.text),
        }
    places |= {
        str(path): path.read_text(errors="replace")
        for path in (installation.settings.home / "logs").rglob("*")
        if path.is_file()
    }
    assert any("client.connected" in text for text in places.values()), "the search works"
    found = [
        (what, place)
        for what, secret in tour.secrets.items()
        for place, text in places.items()
        if secret in text
    ]
    assert not found
    record_property(
        "summary",
        f"{len(tour.secrets)} secrets looked for in {len(tour.told)} answers of API and dashboard, the "
        "control database and the logs: none is there",
    )


async def _let_in(tour: Tour, site: Site) -> None:
    """A token, and a person who signs in."""
    new = await site.tokens.create(
        name="tour", scopes=frozenset({Scope.ADMIN}), created_by="a test"
    )
    tour.learn("the tour's token", new.token.get_secret_value())
    tour.caller.headers["Authorization"] = f"Bearer {new.token.get_secret_value()}"
    tour.learn("the admin's password", _ADMINS_PASSWORD)
    await site.accounts.create(
        email="olga@ghostcrm.example",
        password=_ADMINS_PASSWORD,
        scopes=frozenset({Scope.ADMIN}),
        by="a test",
    )
    wrong = await tour.send(
        "/admin/sign-in", email="olga@ghostcrm.example", password=_PASSWORD, return_to=""
    )
    tour.keep(wrong, "a wrong password")
    answer = await tour.send(
        "/admin/sign-in", email="olga@ghostcrm.example", password=_ADMINS_PASSWORD, return_to=""
    )
    assert answer.status_code == 303, answer.text
    tour.keep(answer, "signing in")
    tour.learn("the session's cookie", tour.browser.cookies["ghostcrm_session"])
    other = await tour.caller.post(
        "/api/admin/tokens", json={"name": "narrow", "scopes": ["clients:read"]}
    )
    tour.learn("another token", other.json()["token"])
    admin = await tour.caller.post(
        "/api/admin/admins", json={"email": "ivan@ghostcrm.example", "scopes": ["clients:read"]}
    )
    tour.learn("another admin's temporary password", admin.json()["temporaryPassword"])


async def _provision(tour: Tour) -> tuple[str, str]:
    """One client with a password of its own, one with a temporary one; each call is kept for its key."""
    tour.learn("the client's admin's password", _PASSWORD)
    data = {"name": "ACME Corp", "adminEmail": "a@acme.com", "adminPassword": _PASSWORD}
    answers = []
    for which, client in (
        ("given", data),
        ("temporary", {"name": "Beta", "adminEmail": "b@beta.example", "plan": "professional"}),
    ):
        answer = await tour.caller.post(
            _PROVISION,
            json={"clientData": client},
            params={"wait": 60},
            headers={"Idempotency-Key": which},
        )
        assert answer.json()["status"] == "ready", answer.text
        answers.append(answer)
    tour.keep(answers[0], "provision")
    temporary = answers[1].json()
    tour.learn("a temporary password", temporary["admin"]["temporaryPassword"])
    return answers[0].json()["id"], temporary["id"]


async def _ask_for_secrets(tour: Tour, client: str) -> None:
    """Everything that shows a secret on purpose; what it shows, nothing else may show."""
    path = f"/api/admin/clients/{client}"
    for role in (login.key for login in CLIENT_LOGIN_ROLES):
        body = {"role": role}
        answer = (
            await tour.caller.post(
                f"{path}/connect",
                json=body,
                headers={"Idempotency-Key": f"connect {role}".replace(" ", "-")},
            )
        ).json()
        tour.learn(f"the password of {role}", str(urlsplit(answer["databaseUrl"]).password))
        tour.learn("the anon key", answer["anonKey"])
        tour.learn("the service role key", answer["serviceRoleKey"])
        settings = (await tour.caller.post(f"{path}/connect", json=body | {"format": "env"})).json()
        for name, value in settings["environment"].items():
            if "SECRET" in name:
                tour.learn(name, value)
    reset = await tour.caller.post(f"{path}/reset-admin-password")
    tour.learn("a reset password", reset.json()["admin"]["temporaryPassword"])
    shown = await tour.send(
        f"/admin/clients/{client}/connection",
        role="app", reason="the tour", password=_ADMINS_PASSWORD,
    )  # fmt: skip
    assert tour.secrets["the password of app"] in shown.text


async def _ask_badly(tour: Tour, ready: str, failed: str) -> None:
    """Problems, whose details might repeat what was sent."""
    secret = tour.secrets["another token"]
    post, keep = tour.caller.post, tour.keep
    for client in (
        {"name": "", "adminEmail": "x", "adminPassword": _PASSWORD},
        {"name": "X", "adminEmail": "x@x.example", "adminPassword": [_PASSWORD]},
        {"name": "X", "adminEmail": "x@x.example", "password": _PASSWORD},
        {"name": "X", "adminEmail": "x@x.example", "adminPassword": _PASSWORD * 9},
        {"name": "X", "adminEmail": "x@x.example", "plan": "none", "adminPassword": _PASSWORD},
    ):
        answer = await post(_PROVISION, json={"clientData": client})
        assert 400 <= answer.status_code < 500
        keep(answer, "a registration that is refused")
    keep(await post(_PROVISION, content=f'{{"a": "{_PASSWORD}'), "JSON that is none")
    wrong = f"{secret[:-3]}xyz"
    for authorization in (f"Bearer {wrong}", f"Basic {secret}", secret):
        answer = await tour.caller.get(
            "/api/admin/clients", headers={"Authorization": authorization}
        )
        assert answer.status_code == 401
        keep(answer, "a token that is none")
    for path in ("connect", "reset-admin-password", "verify", "change-plan"):
        body = {"plan": "starter"} if path == "change-plan" else None
        keep(
            await post(f"/api/admin/clients/{failed}/{path}", json=body), f"{path} of a failed one"
        )
    keep(await post(f"/api/admin/clients/{ready}/change-plan", json={"plan": "x"}), "no such plan")
    form = await tour.send(
        f"/admin/clients/{ready}/connection", role="app", reason="", password=_ADMINS_PASSWORD
    )
    keep(form, "a reveal without a reason")
    form = await tour.send(
        "/admin/clients/new", name="", admin_email="x", plan="starter", password=_PASSWORD
    )
    assert form.status_code == 422
    keep(form, "a form that is refused")


async def _see_everything(tour: Tour, application: object, *, clients: list[str]) -> None:
    """Every page and every reading call, of every client, run, token and admin that there is."""
    ids = {"client_id": clients}
    for name, path in (
        ("run_id", "/api/admin/runs"),
        ("token_id", "/api/admin/tokens"),
        ("account_id", "/api/admin/admins"),
    ):
        listed = (await tour.look(path)).json()["data"]
        ids[name] = [each["id"] for each in listed]
        assert ids[name], path
    seen = 0
    for route in RouteTable(application).routes:  # type: ignore[arg-type]
        if "GET" not in route.methods:
            continue
        wanted = re.findall(r"\{(\w+)(?::path)?\}", route.template)
        if wanted == ["path"]:
            continue  # static files
        assert len(wanted) <= 1, route.template
        for value in ids[wanted[0]] if wanted else [""]:
            path = re.sub(r"\{[^}]+\}", value, route.template)
            answer = await tour.look(path)
            assert answer.status_code < 500 or path == "/readyz", (path, answer.text[:300])
            seen += answer.status_code == 200
    assert seen > 40
    assert "text/csv" in (await tour.look("/admin/audit.csv")).headers["content-type"]
    document = json.loads(
        tour.told[next(k for k in tour.told if "GET /openapi.json" in k)].split("\n", 1)[1]
    )
    assert document["paths"]
