"""Registering over HTTP: the specification's call, with and without waiting, and its repetition."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.documents.clients import (
    Accepted,
    ProvisionedClient,
)
from ghostcrm_provisioning.api.documents.queue import (
    Queue,
)
from ghostcrm_provisioning.following import working
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling
from tests.api.documents import checked

PATH = "/api/admin/provision-client"
ACME = {"name": "ACME Corp", "adminEmail": "admin@acme.com", "plan": "professional"}


async def test_a_registration_is_accepted_at_once_and_says_who_works(calling: Calling) -> None:
    caller = await calling(Scope.CLIENTS_WRITE, Scope.CLIENTS_READ, Scope.QUEUE_READ)
    answer = await caller.post(PATH, json={"clientData": ACME})
    document = checked(answer, Accepted, status=202)
    assert document["status"] == "registered"
    assert document["created"] is True
    assert "no workers are running" in document["explanation"]
    assert len(document["admin"]["temporaryPassword"]) >= 16
    assert answer.headers["location"] == f"/api/admin/runs/{document['runId']}"
    assert int(answer.headers["retry-after"]) > 0
    assert (await caller.get(answer.headers["location"])).json()["status"] == "queued"
    assert (await caller.get(document["statusUrl"])).json()["id"] == document["clientId"]

    again = checked(await caller.post(PATH, json={"clientData": ACME}), Accepted, status=202)
    assert again["clientId"] == document["clientId"]
    assert again["created"] is False
    assert "admin" not in again, "it is shown once"

    queue = checked(await caller.get(f"{PATH}/status"), Queue)
    assert queue["queueLength"] == 1
    assert queue["processing"] == 0
    assert queue["oldestWaitMs"] >= 0
    assert queue["current"] == []
    assert queue["workers"] == []
    assert queue == (await caller.get("/api/admin/queue")).json() | {
        "oldestWaitMs": queue["oldestWaitMs"]
    }


async def test_whoever_waits_is_answered_with_the_client(
    calling: Calling, installation: Installation
) -> None:
    caller = await calling(Scope.CLIENTS_WRITE)
    async with working(installation):
        answer = await caller.post(PATH, json={"clientData": ACME}, params={"wait": 60})
    document = checked(answer, ProvisionedClient)
    assert document["status"] == "ready"
    assert document["clientId"] == document["id"]
    assert document["admin"]["temporaryPassword"]
    assert {step["status"] for step in document["steps"]} == {"done"}
    assert answer.headers["cache-control"] == "no-store"


async def test_waiting_ends_when_the_time_is_up(calling: Calling) -> None:
    caller = await calling(Scope.CLIENTS_WRITE)
    answer = await caller.post(PATH, json={"clientData": ACME}, params={"wait": 0.05})
    assert checked(answer, Accepted, status=202)["status"] == "registered"


async def test_the_callers_own_id_is_taken_and_belongs_to_one_client(calling: Calling) -> None:
    caller = await calling(Scope.CLIENTS_WRITE)
    client_id = str(uuid4())
    first = await caller.post(PATH, json={"clientData": ACME | {"id": client_id}})
    assert first.json()["clientId"] == client_id
    other = await caller.post(
        PATH, json={"clientData": ACME | {"id": client_id, "name": "Another"}}
    )
    assert other.status_code == 409
    assert other.json()["code"] == "client_id_in_use"


async def test_the_plan_may_be_left_out(calling: Calling) -> None:
    caller = await calling(Scope.CLIENTS_WRITE, Scope.CLIENTS_READ)
    data = {name: ACME[name] for name in ("name", "adminEmail")}
    accepted = await caller.post(PATH, json={"clientData": data})
    client = await caller.get(accepted.json()["statusUrl"])
    assert client.json()["plan"] == "starter"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "ACME Corp"},
        ACME | {"name": ""},
        ACME | {"name": "\u202eACME"},
        ACME | {"name": 5},
        ACME | {"adminEmail": "nobody"},
        ACME | {"plan": "golden"},
        ACME | {"adminPassword": "short"},
        ACME | {"adminPassword": "x" * 73},
        ACME | {"id": "1"},
        ACME | {"admin_email": "admin@acme.com"},
        ACME | {"role": "superuser"},
    ],
)
async def test_what_cannot_be_accepted_is_refused_and_nothing_is_created(
    calling: Calling, data: dict[str, object]
) -> None:
    caller = await calling(Scope.CLIENTS_WRITE, Scope.QUEUE_READ)
    answer = await caller.post(PATH, json={"clientData": data})
    assert answer.status_code == 422, answer.text
    assert (await caller.get(f"{PATH}/status")).json()["queueLength"] == 0
