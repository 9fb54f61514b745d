"""Suspending, resuming and deleting a client from its page, without a script."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.run import find_latest_run
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.wiring import Installation
from tests.dashboard.conftest import PASSWORD, Visiting
from tests.dashboard.registered import register
from tests.integration.small_blueprint import write_small_blueprint


@pytest.fixture
async def client_id(installation: Installation, tmp_path: Path) -> UUID:
    folder = write_small_blueprint(tmp_path / "small")
    return await register(installation, "ACME <b>Corp</b>", blueprint=folder, is_finished=True)


async def _status(installation: Installation, client_id: UUID) -> str:
    async with installation.control.connection() as connection:
        return (await find_client(connection, client_id)).status


async def _finish(installation: Installation, client_id: UUID) -> None:
    async with installation.control.connection() as connection:
        run = await find_latest_run(connection, client_id)
    await follow(installation, run.id)


@pytest.mark.long
async def test_it_is_suspended_and_comes_back(
    installation: Installation, visiting: Visiting, client_id: UUID
) -> None:
    visitor = await visiting(Scope.CLIENTS_READ, Scope.CLIENTS_WRITE)
    path = f"/admin/clients/{client_id}"
    page = (await visitor.see(path)).text
    assert f'href="{path}/suspend"' in page
    assert f"{path}/delete" not in page, "he may not"
    assert f"{path}/resume" not in page
    form = await visitor.see(f"{path}/suspend")
    assert "All of its data stays" in form.text
    reason = re.search(r'<input id="field-reason"[^>]*>', form.text)
    assert reason is not None
    assert " required" not in reason[0], "the browser would demand what is optional"
    answer = await visitor.send(f"{path}/suspend", {"reason": "<i>unpaid</i>", "export": "yes"})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    page = (await visitor.see(path)).text
    assert "Being suspended" in page
    assert "is to be suspended, and no worker is running" in page
    await _finish(installation, client_id)
    page = (await visitor.see(path)).text
    assert "<title>‖ Suspended: ACME &lt;b&gt;Corp&lt;/b&gt;" in page
    assert "is suspended (&lt;i&gt;unpaid&lt;/i&gt;): nobody is let in" in page
    assert "How it stands" in page
    assert f'action="{path}/resume"' in page
    assert "It is suspended." in page, "why nothing else can be done"
    assert "It is suspended." in (await visitor.see(f"{path}/suspend")).text
    listed = (await visitor.see("/admin/clients?status=suspended")).text
    assert "Suspended" in listed
    assert str(client_id) in listed
    answer = await visitor.send(f"{path}/resume")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    await _finish(installation, client_id)
    assert await _status(installation, client_id) == "ready"
    page = (await visitor.see(path)).text
    assert "<title>✓ Ready" in page


async def test_it_is_deleted_only_when_it_was_named_and_the_password_given(
    installation: Installation, visiting: Visiting, client_id: UUID
) -> None:
    visitor = await visiting(Scope.CLIENTS_READ, Scope.CLIENTS_DELETE)
    path = f"/admin/clients/{client_id}"
    assert f'href="{path}/delete"' in (await visitor.see(path)).text
    form = (await visitor.see(f"{path}/delete")).text
    assert "There is no way back." in form
    wrong = await visitor.send(f"{path}/delete", {"confirmation": "ACME", "password": PASSWORD})
    assert wrong.status_code == 422
    assert "That is not its name; nothing was done." in wrong.text
    assert await _status(installation, client_id) == "ready"
    answer = await visitor.send(
        f"{path}/delete",
        {"confirmation": "ACME <b>Corp</b>", "password": PASSWORD, "reason": "they left"},
    )
    assert answer.status_code == 303, answer.text
    await _finish(installation, client_id)
    assert await _status(installation, client_id) == "deleted"
    page = (await visitor.see(path)).text
    assert "<title>– Deleted" in page
    assert "is deleted (they left); seen then: neither the database nor a login" in page
    assert f"{path}/delete" not in page
    assert "It is deleted." in (await visitor.see(f"{path}/delete")).text
    assert "Deleted" in (await visitor.see("/admin/clients")).text


async def test_who_may_not_is_refused(visiting: Visiting, client_id: UUID) -> None:
    reader = await visiting(Scope.CLIENTS_READ)
    for what in ("suspend", "resume", "delete"):
        answer = await reader.send(f"/admin/clients/{client_id}/{what}", {"confirmation": "x"})
        assert answer.status_code == 403, what
    writer = await visiting(Scope.CLIENTS_READ, Scope.CLIENTS_WRITE)
    assert (await writer.see(f"/admin/clients/{client_id}/delete")).status_code == 403
