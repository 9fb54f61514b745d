"""What can be done for a client that is ready: plan, credentials, verification."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.documents.clients import (
    ProvisionedClient,
)
from ghostcrm_provisioning.api.documents.document import (
    Listed,
)
from ghostcrm_provisioning.api.documents.doing import (
    ConnectionOf,
    Environment,
    PlanPreview,
    ResetPassword,
    Verdict,
    VerificationAsked,
    VerifiedClient,
)
from ghostcrm_provisioning.following import working
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Inhabited
from tests.api.documents import checked
from tests.provisioned import ADMIN_EMAIL


@asynccontextmanager
async def standing(installation: Installation) -> AsyncIterator[None]:
    """A worker that others may count on, inside this process."""
    worker = installation.make_worker(standing=True)
    task = asyncio.create_task(worker.run())
    await worker.is_working.wait()
    yield
    worker.stop()
    await task


@pytest.mark.long
async def test_a_plan_is_previewed_refused_and_changed(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_READ, Scope.CLIENTS_WRITE)
    path = inhabited.path
    preview = checked(
        await caller.get(f"{path}/plan-preview", params={"plan": "enterprise"}), PlanPreview
    )
    assert preview["fits"] is True
    unknown = await caller.get(f"{path}/plan-preview", params={"plan": "golden"})
    assert unknown.status_code == 422
    assert unknown.json()["code"] == "unknown_plan"
    async with working(inhabited.installation):
        changed = await caller.post(
            f"{path}/change-plan", json={"plan": "enterprise"}, params={"wait": 60}
        )
    document = checked(changed, ProvisionedClient)
    assert (document["plan"], document["status"]) == ("enterprise", "ready")
    again = checked(
        await caller.post(f"{path}/change-plan", json={"plan": "enterprise"}), ProvisionedClient
    )
    assert again["created"] is False
    async with working(inhabited.installation):
        back = await caller.post(
            f"{path}/change-plan", json={"plan": "starter"}, params={"wait": 60}
        )
    assert checked(back, ProvisionedClient)["plan"] == "starter"


async def test_credentials_open_the_database_and_are_audited(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_CONNECT, Scope.AUDIT_READ)
    answer = await caller.post(f"{inhabited.path}/connect", json={"role": "app"})
    assert answer.headers["cache-control"] == "no-store"
    document = checked(answer, ConnectionOf)
    with psycopg.connect(document["databaseUrl"]) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert checked(await caller.post(f"{inhabited.path}/connect"), ConnectionOf) == document
    environment = checked(
        await caller.post(f"{inhabited.path}/connect", json={"role": "auth", "format": "env"}),
        Environment,
    )
    assert environment["environment"]["GOTRUE_DB_DRIVER"] == "postgres"
    assert (
        await caller.post(f"{inhabited.path}/connect", json={"role": "superuser"})
    ).status_code == 422
    audit = await caller.get("/api/admin/audit", params={"action": "client.connected"})
    assert {entry["details"].get("role") for entry in audit.json()["data"]} == {"app", "auth"}
    assert document["databaseUrl"] not in audit.text
    assert document["anonKey"] not in audit.text


async def test_the_admins_password_is_reset_and_shown_once(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_CONNECT)
    document = checked(await caller.post(f"{inhabited.path}/reset-admin-password"), ResetPassword)
    assert document["admin"]["email"] == ADMIN_EMAIL
    assert len(document["admin"]["temporaryPassword"]) >= 16


@pytest.mark.long
async def test_a_worker_verifies_the_client_for_whoever_asks(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_READ, Scope.CLIENTS_WRITE)
    asked = checked(await caller.post(f"{inhabited.path}/verify"), VerificationAsked, status=202)
    assert "No workers are running" in asked["explanation"]
    release = await caller.post(f"{inhabited.path}/release")
    assert release.status_code == 409, "it is not in quarantine"
    async with standing(inhabited.installation):
        answer = await caller.post(f"{inhabited.path}/verify", params={"wait": 60})
    verdict = checked(answer, VerifiedClient)
    assert verdict["holds"] is True
    assert verdict["clientStatus"] == "ready"
    assert verdict["requestedBy"].startswith("token:")
    verdicts = checked(await caller.get(asked["verdictsUrl"]), Listed[Verdict])
    # The newest, unless there were two attacks: the first one asked for may have begun when the second was.
    assert verdict["id"] in [each["id"] for each in verdicts["data"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("GET", "/explain"), ("GET", "/runs"), ("GET", "/timeline"), ("POST", "/retry"),
        ("GET", "/plan-preview?plan=starter"), ("POST", "/change-plan"), ("POST", "/connect"),
        ("POST", "/reset-admin-password"), ("POST", "/verify"), ("GET", "/verdicts"),
        ("POST", "/release"),
    ],
)  # fmt: skip
async def test_a_client_that_there_is_not_is_not_found(
    inhabited: Inhabited, method: str, path: str
) -> None:
    caller = await inhabited.calling(Scope.ADMIN)
    body = {"plan": "starter"} if path == "/change-plan" else None
    answer = await caller.request(method, f"/api/admin/clients/{uuid4()}{path}", json=body)
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == "not_found"


async def test_a_client_that_has_not_failed_cannot_be_retried(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_WRITE)
    answer = await caller.post(f"{inhabited.path}/retry")
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"


async def test_credentials_are_exchanged(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_CONNECT, Scope.CLIENTS_READ, Scope.AUDIT_READ)
    path = inhabited.path
    before = checked(await caller.post(f"{path}/connect"), ConnectionOf)
    async with working(inhabited.installation):
        answer = await caller.post(
            f"{path}/rotate", json={"reason": "somebody has left"}, params={"wait": 60}
        )
    document = checked(answer, ProvisionedClient)
    assert (document["status"], document["created"]) == ("ready", True)
    after = checked(await caller.post(f"{path}/connect"), ConnectionOf)
    for name in ("databaseUrl", "anonKey", "serviceRoleKey"):
        assert before[name] != after[name]
        assert before[name] not in answer.text
        assert after[name] not in answer.text
    async with await psycopg.AsyncConnection.connect(after["databaseUrl"]) as connection:
        await connection.execute("select")
    with pytest.raises(psycopg.OperationalError):
        await psycopg.AsyncConnection.connect(before["databaseUrl"])
    for action, name, value in (
        ("client.rotation_requested", "reason", "somebody has left"),
        ("client.credentials_rotated", "passwords", True),
    ):
        entries = (await caller.get("/api/admin/audit", params={"action": action})).json()
        assert entries["data"][0]["details"][name] == value
    for body, code in (
        ({"keys": True, "legacyKeys": True}, "not_offered"),
        ({"keys": True, "endSessions": True}, "invalid_input"),
        ({"password": True}, "invalid_input"),
    ):
        refused = await caller.post(f"{path}/rotate", json=body)
        assert refused.json()["code"] == code, refused.text
    assert (await caller.post(f"/api/admin/clients/{uuid4()}/rotate")).status_code == 404
