"""The narrow token of a web application; tokens and admin accounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.documents.access import (
    AccountRow,
    Me,
    NewAccount,
    NewToken,
    Token,
)
from ghostcrm_provisioning.api.documents.clients import (
    Registered,
)
from ghostcrm_provisioning.api.documents.document import (
    Listed,
)
from tests.api.conftest import Calling, StandingClock, callers_of
from tests.api.documents import checked
from tests.conftest import OpenInstallation

REGISTRATIONS = "/api/registrations"
ACME = {"companyName": "ACME Corp", "adminEmail": "admin@acme.com", "plan": "professional"}


async def test_a_registration_is_accepted_and_repeated_by_its_own_token(calling: Calling) -> None:
    caller = await calling(Scope.REGISTRATIONS_WRITE)
    first = checked(await caller.post(REGISTRATIONS, json=ACME), Registered, status=202)
    assert len(first["admin"]["temporaryPassword"]) >= 16
    again = checked(await caller.post(REGISTRATIONS, json=ACME), Registered, status=202)
    assert again == {"clientId": first["clientId"], "status": "accepted"}


async def test_nothing_is_learnt_of_what_others_have_registered(calling: Calling) -> None:
    mine, thiefs = (
        await calling(Scope.REGISTRATIONS_WRITE),
        await calling(Scope.REGISTRATIONS_WRITE),
    )
    client_id = (await mine.post(REGISTRATIONS, json=ACME)).json()["clientId"]
    answers = [
        await thiefs.post(REGISTRATIONS, json=ACME),
        await thiefs.post(REGISTRATIONS, json=ACME | {"plan": "starter"}),
        await mine.post(REGISTRATIONS, json=ACME | {"plan": "starter"}),
    ]
    texts = set()
    for answer in answers:
        assert answer.status_code == 409
        document = answer.json()
        document.pop("requestId", None)
        assert document["code"] == "already_registered"
        assert client_id not in answer.text
        assert "professional" not in answer.text
        texts.add(str(document))
    assert len(texts) == 1, "whatever the reason, it is said in the same words"
    for path in (f"/api/admin/clients/{client_id}", "/api/admin/clients", "/api/admin/queue"):
        assert (await thiefs.get(path)).status_code == 403


async def test_an_unknown_field_or_plan_is_refused(calling: Calling) -> None:
    caller = await calling(Scope.REGISTRATIONS_WRITE)
    for more in (
        {"plan": "golden"},
        {"id": "x"},
        {"adminEmail": "x"},
        {"adminPassword": "pw-7742"},
    ):
        answer = await caller.post(REGISTRATIONS, json=ACME | more)
        assert answer.status_code == 422, more
        assert "pw-7742" not in answer.text


async def test_a_token_is_made_used_and_revoked(calling: Calling) -> None:
    manager = await calling(Scope.ACCESS_MANAGE, Scope.QUEUE_READ)
    later = datetime.now(UTC) + timedelta(days=1)
    answer = await manager.post(
        "/api/admin/tokens",
        json={"name": "watcher", "scopes": ["queue:read"], "expiresAt": later.isoformat()},
    )
    new = checked(answer, NewToken, status=201)
    assert answer.headers["cache-control"] == "no-store"
    headers = {"Authorization": f"Bearer {new['token']}"}
    nobody = await calling()
    me = checked(await nobody.get("/api/admin/me", headers=headers), Me)
    assert (me["actor"], me["scopes"]) == ("token:watcher", ["queue:read"])
    listed = await manager.get("/api/admin/tokens")
    assert new["token"].rpartition("_")[2] not in listed.text
    row = next(each for each in checked(listed, Listed[Token])["data"] if each["id"] == new["id"])
    assert row["isValid"]
    assert (await manager.delete(answer.headers["location"])).status_code == 204
    assert (await nobody.get("/api/admin/me", headers=headers)).status_code == 401
    assert (await manager.delete(answer.headers["location"])).status_code == 404


async def test_a_token_that_ends_after_the_end_of_time_is_not_made(calling: Calling) -> None:
    manager = await calling(Scope.ADMIN)
    for end in ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z", 253402300799):
        answer = await manager.post(
            "/api/admin/tokens", json={"name": "late", "scopes": ["queue:read"], "expiresAt": end}
        )
        assert answer.status_code == 422, (end, answer.text)
    listed = checked(await manager.get("/api/admin/tokens"), Listed[Token])["data"]
    assert "late" not in {row["name"] for row in listed}


async def test_nobody_gives_away_more_than_he_has(calling: Calling) -> None:
    manager = await calling(Scope.ACCESS_MANAGE, Scope.QUEUE_READ)
    for path, body in (
        ("/api/admin/tokens", {"name": "more", "scopes": ["admin"]}),
        ("/api/admin/tokens", {"name": "more", "scopes": ["queue:read", "clients:connect"]}),
        ("/api/admin/admins", {"email": "olga@example.com", "scopes": ["admin"]}),
    ):
        answer = await manager.post(path, json=body)
        assert answer.status_code == 403, answer.text
    admin = await calling(Scope.ADMIN)
    strong = await admin.post(
        "/api/admin/admins", json={"email": "olga@example.com", "scopes": ["clients:connect"]}
    )
    path = strong.headers["location"]
    assert (await manager.patch(path, json={"enabled": False})).status_code == 403
    assert (await manager.delete(path)).status_code == 403


async def test_an_account_is_made_changed_and_disabled(calling: Calling) -> None:
    admin = await calling(Scope.ADMIN)
    made = await admin.post(
        "/api/admin/admins", json={"email": "Olga@Example.com", "scopes": ["clients:read"]}
    )
    new = checked(made, NewAccount, status=201)
    assert len(new["temporaryPassword"]) >= 16
    path = made.headers["location"]
    changed = checked(
        await admin.patch(path, json={"scopes": ["clients:read", "queue:read"]}), AccountRow
    )
    assert changed["scopes"] == ["clients:read", "queue:read"]
    assert (await admin.delete(path)).status_code == 204
    assert checked(await admin.get(path), AccountRow)["disabledAt"] is not None
    assert (
        checked(await admin.patch(path, json={"enabled": True}), AccountRow)["disabledAt"] is None
    )
    listed = await admin.get("/api/admin/admins")
    assert [row["email"] for row in checked(listed, Listed[AccountRow])["data"]] == [
        "olga@example.com"
    ]
    assert new["temporaryPassword"] not in listed.text
    again = await admin.post(
        "/api/admin/admins", json={"email": "olga@example.com", "scopes": ["clients:read"]}
    )
    assert again.status_code == 409


async def test_a_token_registers_so_many_companies_a_minute_and_no_more(
    opened: OpenInstallation, standing_clock: StandingClock
) -> None:
    installation = await opened(registrations_per_minute=2)
    async with callers_of(installation) as calling:
        caller = await calling(Scope.REGISTRATIONS_WRITE)
        another = await calling(Scope.REGISTRATIONS_WRITE)
        answers = [await caller.post(REGISTRATIONS, json=ACME) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert "2 registrations a minute" in answers[-1].json()["detail"]
        assert int(answers[-1].headers["retry-after"]) > 0
        beta = ACME | {"companyName": "Beta"}
        assert (await another.post(REGISTRATIONS, json=beta)).status_code == 202
