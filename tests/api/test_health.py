"""Whoever watches the process learns whether it lives, whether it can work and why not, and its numbers."""

from __future__ import annotations

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.web import readiness
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling, callers_of
from tests.conftest import OpenInstallation

HERE = {"Host": "127.0.0.1:8787"}
ELSEWHERE = HERE | {"X-Forwarded-For": "198.51.100.7"}


async def test_it_lives_and_says_what_is_missing(
    opened: OpenInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_LONGEST_LOOK_SECONDS", 60.0)
    installation = await opened(lease_seconds=600)
    async with callers_of(installation) as calling:
        await _lives_and_says_what_is_missing(installation, calling)


async def _lives_and_says_what_is_missing(installation: Installation, calling: Calling) -> None:
    nobody = await calling()
    alive = await nobody.get("/healthz")
    assert (alive.status_code, alive.json()["status"]) == (200, "alive")
    answer = await nobody.get("/readyz")
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert set(checks) == {"database", "queue", "workers", "disk", "blueprint"}
    assert answer.status_code == 503
    assert not checks["workers"]["ok"]
    assert "nothing will be provisioned" in checks["workers"]["seen"]
    assert all(check["ok"] for name, check in checks.items() if name != "workers")
    await installation.make_worker(standing=True)._beat()
    answer = await nobody.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)


async def test_without_its_database_it_lives_and_is_not_ready(
    calling: Calling, installation: Installation
) -> None:
    nobody = await calling()
    await installation.control.close()
    assert (await nobody.get("/healthz")).status_code == 200
    answer = await nobody.get("/readyz")
    assert answer.status_code == 503
    assert not answer.json()["checks"][0]["ok"]
    assert "password" not in answer.text


async def test_metrics_are_for_this_machine_or_for_whoever_has_the_scope(
    calling: Calling, installation: Installation
) -> None:
    nobody, reader = await calling(), await calling(Scope.METRICS_READ)
    stranger = await calling(Scope.CLIENTS_READ)
    await nobody.get("/healthz")
    await nobody.get("/made-up-by-a-caller")
    here = await nobody.get("/metrics", headers=HERE)
    assert here.status_code == 200
    assert (
        'ghostcrm_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in here.text
    )
    assert "made-up-by-a-caller" not in here.text
    assert "ghostcrm_queue_length 0.0" in here.text
    assert "# TYPE ghostcrm_clients gauge" in here.text
    assert "ghostcrm_workers_alive 0.0" in here.text
    # A page of another's whose name was given our address, in a browser on this machine.
    led_here = await nobody.get("/metrics", headers={"Host": "attacker.example"})
    assert led_here.status_code == 401
    for caller, status in ((nobody, 401), (stranger, 403), (reader, 200)):
        assert (await caller.get("/metrics", headers=ELSEWHERE)).status_code == status


async def test_the_documentation_loads_nothing_from_elsewhere(calling: Calling) -> None:
    nobody = await calling()
    document = (await nobody.get("/openapi.json")).json()
    page = (await nobody.get("/docs")).text
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    for text in (page, (await nobody.get("/docs/errors")).text):
        assert "http://" not in text
        assert "https://" not in text
        assert "style=" not in text
        assert "onclick" not in text
    for name in ("docs.css", "docs.js"):
        answer = await nobody.get(f"/docs/{name}")
        assert answer.status_code == 200
        assert "://" not in answer.text
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["responses"]["500"]["content"].keys() == {"application/problem+json"}
