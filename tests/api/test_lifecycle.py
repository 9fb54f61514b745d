"""A client is suspended, resumed and deleted over the API."""

from __future__ import annotations

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.documents.clients import (
    Accepted,
    Client,
    ClientRow,
    Explanation,
    ProvisionedClient,
)
from ghostcrm_provisioning.api.documents.document import Listed
from ghostcrm_provisioning.following import follow, working
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling, Inhabited
from tests.api.documents import checked
from tests.integration.control import register

_NAME = "ACME Corp"


@pytest.mark.long
async def test_a_client_is_suspended_and_comes_back(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_WRITE, Scope.CLIENTS_CONNECT)
    path = inhabited.path
    nothing = checked(await caller.post(f"{path}/resume"), ProvisionedClient)
    assert (nothing["created"], nothing["status"]) == (False, "ready")
    accepted = checked(
        await caller.post(f"{path}/suspend", json={"reason": "unpaid", "export": False}),
        Accepted,
        status=202,
    )
    assert accepted["created"] is True
    assert "is to be suspended" in accepted["explanation"]
    again = checked(await caller.post(f"{path}/suspend"), Accepted, status=202)
    assert (again["created"], again["runId"]) == (False, accepted["runId"])
    refused = await caller.post(f"{path}/connect", json={"role": "app"})
    assert (refused.status_code, refused.json()["code"]) == (409, "client_suspended")
    async with working(inhabited.installation):
        answer = await caller.post(f"{path}/suspend", params={"wait": 60})
    document = checked(answer, ProvisionedClient)
    assert (document["status"], document["kind"]) == ("suspended", "suspend_client")
    assert document["suspendedAt"]
    explained = checked(await caller.get(f"{path}/explain"), Explanation)
    assert explained["sentence"].startswith(f"{_NAME} is suspended (unpaid)")
    assert explained["nextRequest"] == {"method": "POST", "path": f"{path}/resume"}
    listed = checked(
        await caller.get("/api/admin/clients", params={"status": "suspended"}), Listed[ClientRow]
    )
    assert [row["id"] for row in listed["data"]] == [inhabited.client.id]
    async with working(inhabited.installation):
        answer = await caller.post(f"{path}/resume", json={}, params={"wait": 60})
    assert checked(answer, ProvisionedClient)["status"] == "ready"
    assert (await caller.post(f"{path}/connect", json={"role": "app"})).status_code == 200


async def test_bad_input_changes_nothing(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_WRITE, Scope.CLIENTS_DELETE)
    path = inhabited.path
    bodies: tuple[object, ...] = ({"reason": "x" * 501}, {"export": "yes"}, {"sometimes": 1}, [])
    for body in bodies:
        assert (await caller.post(f"{path}/suspend", json=body)).status_code == 422
    wrong_ones: tuple[object, ...] = ({}, {"confirm": ""}, {"confirm": "Somebody"}, {"confirm": 1})
    for wrong in wrong_ones:
        answer = await caller.request("DELETE", path, json=wrong)
        assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_input"
    assert (await caller.request("DELETE", path)).status_code == 422
    answer = await caller.request("DELETE", path, json={"confirm": _NAME.lower()})
    assert answer.json()["code"] == "not_confirmed"
    assert checked(await caller.get(path), Client)["status"] == "ready"


async def test_a_client_is_deleted_by_whoever_may(
    installation: Installation, calling: Calling
) -> None:
    """A client of its own: there is none afterwards."""
    client = await register(installation, _NAME)
    await follow(installation, client.run_id)
    writer = await calling(Scope.CLIENTS_WRITE)
    path, body = f"/api/admin/clients/{client.client_id}", {"confirm": _NAME, "export": False}
    refused = await writer.request("DELETE", path, json=body)
    assert refused.status_code == 403
    deleter = await calling(Scope.CLIENTS_DELETE)
    async with working(installation):
        answer = await deleter.request("DELETE", path, json=body, params={"wait": 60})
    document = checked(answer, ProvisionedClient)
    assert (document["status"], document["absence"]) == (
        "deleted",
        "neither the database nor a login of it is there",
    )
    assert document["deletedAt"]
    again = checked(await deleter.request("DELETE", path, json=body), ProvisionedClient)
    assert again["created"] is False
    for request in ("suspend", "resume", "change-plan", "verify"):
        plan = {"plan": "enterprise"} if request == "change-plan" else None
        gone = await writer.post(f"{path}/{request}", json=plan)
        assert (gone.status_code, gone.json()["code"]) == (409, "client_deleted"), request
    audit = await calling(Scope.AUDIT_READ)
    entries = (
        await audit.get("/api/admin/audit", params={"clientId": str(client.client_id)})
    ).json()
    actions = [entry["action"] for entry in entries["data"]]
    assert "client.deleted" in actions
    assert "client.delete_requested" in actions
