"""An Idempotency-Key: what was sent twice happens once, also at the same moment and after a crash."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling

PROVISION = "/api/admin/provision-client"


def body(name: str = "ACME Corp", email: str = "admin@acme.com") -> dict[str, object]:
    return {"clientData": {"name": name, "adminEmail": email, "plan": "starter"}}


async def test_the_same_request_is_answered_the_same_way_and_another_is_refused(
    calling: Calling, installation: Installation
) -> None:
    caller, other = await calling(Scope.CLIENTS_WRITE), await calling(Scope.CLIENTS_WRITE)
    key = {"Idempotency-Key": str(uuid4())}
    first = await caller.post(PROVISION, json=body(), headers=key)
    assert first.status_code == 202
    again = await caller.post(
        PROVISION,
        content=b'{"clientData": {"plan":"starter","adminEmail":"admin@acme.com","name":"ACME Corp"}}',
        headers=key | {"Content-Type": "application/json"},
    )
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    mismatch = await caller.post(PROVISION, json=body("Beta Ltd"), headers=key)
    assert (mismatch.status_code, mismatch.json()["code"]) == (422, "idempotency_key_mismatch")
    # Another caller's key is another key, and a stored answer holds no secret in the clear.
    theirs = await other.post(PROVISION, json=body("Gamma", "g@example.com"), headers=key)
    assert theirs.json()["clientId"] != first.json()["clientId"]
    rows = await installation.control.fetch_all("select * from idempotent_requests")
    assert len(rows) == 2
    password = first.json().get("temporaryPassword", first.json()["clientId"])
    assert all(password.encode() not in bytes(row["sealed_answer"]) for row in rows)


async def test_a_refusal_frees_the_key(calling: Calling, installation: Installation) -> None:
    caller = await calling(Scope.CLIENTS_WRITE)
    key = {"Idempotency-Key": "k-1"}
    assert (await caller.post(PROVISION, json=body(email="x"), headers=key)).status_code == 422
    assert not await installation.control.fetch_all("select from idempotent_requests")
    assert (await caller.post(PROVISION, json=body(), headers=key)).status_code == 202
    for wrong in ("", "a b", "x" * 256):
        answer = await caller.post(PROVISION, json=body(), headers={"Idempotency-Key": wrong})
        assert answer.status_code == 400, wrong


@pytest.mark.parametrize("ending", ["answered", "died"])
async def test_of_two_at_once_one_works_and_a_crash_frees_the_key_in_time(
    calling: Calling, installation: Installation, ending: str
) -> None:
    caller = await calling(Scope.ADMIN)
    application = _application_of(caller)
    begun, may_end, calls = asyncio.Event(), asyncio.Event(), []

    async def slow(principal: Annotated[Principal, requires(Scope.ADMIN)]) -> dict[str, int]:
        calls.append(principal)
        begun.set()
        await may_end.wait()
        return {"calls": len(calls)}

    application.add_api_route("/api/admin/slow", slow, methods=["POST"])
    key = {"Idempotency-Key": "k"}
    first = asyncio.create_task(caller.post("/api/admin/slow", headers=key))
    await begun.wait()
    second = await caller.post("/api/admin/slow", headers=key)
    assert (second.status_code, second.json()["code"]) == (409, "request_still_running")
    assert int(second.headers["Retry-After"]) > 0
    if ending == "died":
        # As a process that died leaves it: claimed, until the time is up.
        await installation.control.execute(
            "update idempotent_requests set claimed_by = gen_random_uuid(),"
            " claimed_until = clock_timestamp() - interval '1 second'"
        )
    may_end.set()
    assert (await first).json() == {"calls": 1}
    third = await caller.post("/api/admin/slow", headers=key)
    assert third.json() == {"calls": 2 if ending == "died" else 1}


async def test_a_key_at_an_address_that_cannot_be_kept_counts_for_nothing(
    calling: Calling, installation: Installation
) -> None:
    caller = await calling(Scope.CLIENTS_WRITE)
    answer = await caller.post(
        "/api/admin/clients/%00/retry", headers={"Idempotency-Key": "k-of-nothing"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert not await installation.control.fetch_all("select from idempotent_requests")


async def test_after_a_day_a_key_is_new_again(calling: Calling, installation: Installation) -> None:
    caller = await calling(Scope.CLIENTS_WRITE)
    key = {"Idempotency-Key": "k"}
    await caller.post(PROVISION, json=body(), headers=key)
    await installation.control.execute(
        "update idempotent_requests set created_at = created_at - interval '25 hours'"
    )
    answer = await caller.post(PROVISION, json=body("Beta Ltd", "b@example.com"), headers=key)
    assert answer.status_code == 202
    assert "Idempotent-Replayed" not in answer.headers


def _application_of(caller: httpx.AsyncClient) -> FastAPI:
    transport = caller._transport
    assert isinstance(transport, httpx.ASGITransport)
    assert isinstance(transport.app, FastAPI)
    return transport.app
