"""Lists: pages that follow one another, cursors that are bound, and filters."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.documents.access import (
    AuditEntry,
)
from ghostcrm_provisioning.api.documents.clients import (
    ClientRow,
)
from ghostcrm_provisioning.api.documents.document import (
    Listed,
)
from ghostcrm_provisioning.api.documents.overview import (
    Overview,
)
from ghostcrm_provisioning.api.documents.queue import (
    Notification,
    Server,
    Spares,
)
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling
from tests.api.documents import checked

CLIENTS = "/api/admin/clients"
NAMES = ["Åkerlund & Söner", "ACME Corp", "Beta GmbH", "acme belgium", "Zeta", "O'Neill"]


async def register(caller: httpx.AsyncClient, *names: str, plan: str = "starter") -> None:
    for name in names:
        data = {"name": name, "adminEmail": "admin@acme.com", "plan": plan}
        answer = await caller.post("/api/admin/provision-client", json={"clientData": data})
        assert answer.status_code == 202


async def pages(caller: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    """All rows of a list, page by page."""
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = (
            await caller.get(path, params=params | ({"cursor": cursor} if cursor else {}))
        ).json()
        rows += page["data"]
        cursor = page["nextCursor"]
        assert page["hasMore"] == (cursor is not None)
        if cursor is None:
            return rows


async def test_clients_are_listed_searched_and_filtered_page_by_page(
    installation: Installation, calling: Calling
) -> None:
    caller = await calling(Scope.CLIENTS_WRITE, Scope.CLIENTS_READ, Scope.AUDIT_READ)
    await register(caller, *NAMES[:3])
    await register(caller, *NAMES[3:], plan="enterprise")

    everybody = checked(await caller.get(CLIENTS), Listed[ClientRow])
    assert [row["name"] for row in everybody["data"]] == NAMES[::-1]
    for limit in (1, 4, 6):
        assert await pages(caller, CLIENTS, limit=limit) == everybody["data"]

    async def found(**params: Any) -> list[str]:
        return [row["name"] for row in await pages(caller, CLIENTS, limit=1, **params)]

    assert await found(search="acme", plan="enterprise") == ["O'Neill", "Zeta", "acme belgium"]
    assert await found(search="akerlund") == ["Åkerlund & Söner"]
    assert await found(search="belg ac") == ["acme belgium"]
    assert await found(plan="starter") == NAMES[2::-1]
    assert await found(status=["ready", "failed"]) == []
    assert len(await found(status=["ready", "registered"])) == 6
    await installation.control.execute(
        "update clients set status = 'deleted', wanted_status = 'deleted', deleted_at = now()"
        " where name = 'Zeta'"
    )
    assert await found(plan="enterprise") == ["O'Neill", "acme belgium"], "not what is history"
    assert await found(plan="enterprise", withDeleted=True) == ["O'Neill", "Zeta", "acme belgium"]
    assert await found(status="deleted") == ["Zeta"]
    await installation.control.execute(
        "update clients set status = 'registered', wanted_status = 'ready', deleted_at = null"
        " where name = 'Zeta'"
    )
    server = everybody["data"][0]["database"]["server"]
    assert len(await found(server=server)) == 6
    assert await found(server="elsewhere") == []

    registered = checked(
        await caller.get("/api/admin/audit", params={"action": "client.registered"}),
        Listed[AuditEntry],
    )
    assert [entry["clientName"] for entry in registered["data"]] == NAMES[::-1]
    assert all(entry["actor"].startswith("token:") for entry in registered["data"])
    assert (
        await pages(caller, "/api/admin/audit", limit=2, action="client.registered")
        == registered["data"]
    )
    table = await caller.get(
        "/api/admin/audit", params={"action": "client.registered", "format": "csv"}
    )
    assert table.headers["content-type"].startswith("text/csv")
    assert len(table.text.splitlines()) == 7
    assert "audit.exported" in (await caller.get("/api/admin/audit")).text


async def test_a_cursor_belongs_to_its_list_and_its_filters(calling: Calling) -> None:
    caller = await calling(Scope.CLIENTS_WRITE, Scope.CLIENTS_READ)
    await register(caller, *NAMES[:3])
    cursor = (await caller.get(CLIENTS, params={"limit": 1})).json()["nextCursor"]
    for params in ({"search": "acme"}, {"plan": "starter"}):
        answer = await caller.get(CLIENTS, params=params | {"cursor": cursor})
        assert answer.status_code == 400
        assert answer.json()["code"] == "cursor_mismatch"
    other = await caller.get("/api/admin/runs", params={"cursor": cursor})
    assert other.json()["code"] == "cursor_mismatch"
    assert (await caller.get(CLIENTS, params={"cursor": cursor, "limit": 2})).status_code == 200


def _forged(cursor: str, *place: object) -> str:
    digest = json.loads(base64.urlsafe_b64decode(cursor + "=="))[0]
    return base64.urlsafe_b64encode(json.dumps([digest, *place]).encode()).decode().rstrip("=")


async def test_a_cursor_that_was_not_given_out_is_refused(calling: Calling) -> None:
    caller = await calling(Scope.CLIENTS_WRITE, Scope.CLIENTS_READ)
    await register(caller, *NAMES[:3])
    cursor = (await caller.get(CLIENTS, params={"limit": 1})).json()["nextCursor"]
    for bad in (
        "x", "%%%", "é", "[]", "e30", "bnVsbA", "WzFd", cursor[:-5],
        _forged(cursor), _forged(cursor, 1), _forged(cursor, "2026", 1, 2), _forged(cursor, None, None),
        _forged(cursor, "2026-01-01", "x"), _forged(cursor, "2026-01-01T00:00:00", "0" * 32),
        _forged(cursor, "9999-12-31T23:59:59-23:59", "0" * 32), _forged(cursor, "a\u0000", "\u0000"),
    ):  # fmt: skip
        answer = await caller.get(CLIENTS, params={"cursor": bad})
        assert answer.status_code in {200, 400}, (bad, answer.text)
        if answer.status_code == 400:
            assert answer.json()["code"] in {"invalid_cursor", "cursor_mismatch"}, bad


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0}, {"limit": 201}, {"limit": "x"}, {"status": "gone"}, {"search": "a" * 201},
        {"search": "a\u0000b"}, {"plan": ""}, {"plan": "\u0000"}, {"cursor": "a" * 501},
    ],
)  # fmt: skip
async def test_filters_that_cannot_be_are_refused(calling: Calling, params: dict[str, str]) -> None:
    caller = await calling(Scope.CLIENTS_READ)
    assert (await caller.get(CLIENTS, params=params)).status_code == 422


async def test_an_installation_without_clients_answers_everything(calling: Calling) -> None:
    caller = await calling(Scope.ADMIN)
    checked(await caller.get(CLIENTS), Listed[ClientRow])
    servers = checked(await caller.get("/api/admin/servers"), Listed[Server])
    assert [server["clients"] for server in servers["data"]] == [0]
    spares = checked(await caller.get("/api/admin/spares"), Spares)
    assert spares["wanted"] == 0
    assert checked(await caller.get("/api/admin/notifications"), Listed[Notification])["data"] == []
    overview = checked(await caller.get("/api/admin/overview"), Overview)
    assert overview["clients"]["total"] == 0
    checked(await caller.get("/api/admin/overview", params={"window": "30d"}), Overview)
    reader = await calling(Scope.CLIENTS_READ)
    narrow = checked(await reader.get("/api/admin/overview"), Overview)
    assert (narrow["queue"], narrow["workers"], narrow["servers"]) == (None, None, None)


async def test_notifications_go_on_page_by_page(
    calling: Calling, installation: Installation
) -> None:
    caller = await calling(Scope.CLIENTS_WRITE, Scope.NOTIFICATIONS_READ)
    for number in range(3):
        await installation.control.execute(
            "insert into notifications (severity, subject, body, delivery)"
            " values ('info', %(subject)s, 'body', 'unwanted')",
            subject=f"number {number}",
        )
    told = await pages(caller, "/api/admin/notifications", limit=2)
    assert [row["subject"] for row in told] == ["number 2", "number 1", "number 0"]
