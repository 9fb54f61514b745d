"""The pages of the queue and of the servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.following import working
from ghostcrm_provisioning.wiring import Installation
from tests.dashboard.conftest import Visiting
from tests.dashboard.registered import register
from tests.integration.small_blueprint import raising, write_small_blueprint


async def test_no_workers_are_told_from_busy_ones(
    installation: Installation, visiting: Visiting
) -> None:
    visitor = await visiting(Scope.QUEUE_READ, Scope.CLIENTS_READ)
    page = (await visitor.see("/admin/queue")).text
    assert "No workers are running. Nothing will be provisioned until one starts." in page
    assert "ghostcrm up" in page
    client_id = await register(installation, "ACME Corp")
    page = (await visitor.see("/admin/queue")).text
    assert "1 client waits." in page
    assert f'href="/admin/clients/{client_id}"' in page
    async with working(installation):
        page = (await visitor.see("/admin/queue")).text
        assert "No workers are running" not in page


@pytest.mark.long
async def test_failures_are_retried_together(
    installation: Installation, visiting: Visiting, tmp_path: Path
) -> None:
    folder = write_small_blueprint(tmp_path / "small", _002_more=raising("22023"))
    ids = [
        await register(
            installation, name, email=f"{name}@example.com", blueprint=folder, is_finished=True
        )
        for name in ("one", "two")
    ]
    reader = await visiting(Scope.QUEUE_READ)
    page = (await reader.see("/admin/queue")).text
    assert "Acquire database" in page
    assert "Retry" not in page.split("Failed in the last 24 h")[1]
    assert (await reader.send("/admin/queue/retry", {"client": str(ids[0])})).status_code == 403
    visitor = await visiting(Scope.QUEUE_READ, Scope.CLIENTS_WRITE)
    assert "Retry 2 runs?" in (await visitor.see("/admin/queue")).text
    # What a later run has overtaken is no more to be retried.
    later = (
        "insert into runs (id, client_id, kind, status, created_at, queued_at, finished_at)"
        " select gen_random_uuid(), %(id)s, 'suspend_client', 'succeeded', now(), now(), now()"
    )
    await installation.control.execute(later, id=ids[1])
    page = (await visitor.see("/admin/queue")).text
    assert "Settled since" in page
    assert "Retry 2 runs?" not in page
    assert page.count('action="/admin/queue/retry"') == 1
    await installation.control.execute("delete from runs where kind = 'suspend_client'")
    answer = await visitor.send("/admin/queue/retry", {"client": [str(id_) for id_ in ids]})
    assert answer.status_code == 303
    page = (await visitor.see("/admin/queue")).text
    assert "2 runs will be tried again." in page
    assert "Nothing has failed." in page
    answer = await visitor.send("/admin/queue/retry", {"client": str(ids[0])})
    assert "1 had nothing to retry" in (await visitor.see("/admin/queue")).text


async def test_servers_say_how_much_room_there_is_and_why_one_takes_no_more(
    installation: Installation, visiting: Visiting
) -> None:
    await register(installation, "ACME Corp")
    visitor = await visiting(Scope.SERVERS_READ)
    page = (await visitor.see("/admin/servers")).text
    assert "There is room: a server without a limit takes clients." in page
    await installation.control.execute("update servers set client_limit = 3")
    page = (await visitor.see("/admin/servers")).text
    assert "There is room for 2 more clients." in page
    await installation.control.execute("update servers set client_limit = 1")
    page = (await visitor.see("/admin/servers")).text
    assert "No server can take another client." in page
    assert "It has as many clients as it may have." in page
    await installation.control.execute(
        "insert into servers (name, provider) values ('existing', 'existing')"
    )
    page = (await visitor.see("/admin/servers")).text
    assert "No server can take another client." in page, "a given database is no room for others"
    assert "a client comes here when it is registered with one" in page
    await installation.control.execute("update servers set accepting = false")
    page = (await visitor.see("/admin/servers")).text
    assert "It was told to take no more clients" in page
