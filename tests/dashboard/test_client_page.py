"""A client's page, and what can be done on it, without a script."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.audit.listing import AuditFilter, list_entries
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.run import find_latest_run
from ghostcrm_provisioning.dashboard.plan_words import amount
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.wiring import Installation
from tests.dashboard.conftest import PASSWORD, Visiting
from tests.dashboard.registered import register
from tests.integration.small_blueprint import (
    plan_that_fails_at_first,
    raising,
    write_small_blueprint,
)

READ_AND_WRITE = (Scope.CLIENTS_READ, Scope.CLIENTS_WRITE)


async def _status(installation: Installation, client_id: UUID) -> str:
    async with installation.control.connection() as connection:
        return (await find_client(connection, client_id)).status


async def _finish(installation: Installation, client_id: UUID) -> None:
    async with installation.control.connection() as connection:
        run = await find_latest_run(connection, client_id)
    await follow(installation, run.id)


async def test_a_failure_is_explained_and_retried_after_it_was_mended(
    installation: Installation, visiting: Visiting, tmp_path: Path
) -> None:
    folder = write_small_blueprint(tmp_path / "small", _002_more=raising("22023"))
    client_id = await register(installation, "Broken Ltd", blueprint=folder, is_finished=True)
    visitor = await visiting(*READ_AND_WRITE)
    page = (await visitor.see(f"/admin/clients/{client_id}")).text
    assert "<title>✕ Failed: Broken Ltd" in page
    assert "favicon-attention.svg" in page
    assert "Broken Ltd is not ready: it failed at" in page
    assert "Step 1 of 6" in page
    assert "not tried again: that would change nothing" in page
    assert "migration_failed" in page
    assert re.search(r'<details id="step-acquire_database-failed" open>', page)
    assert f"ghostcrm clients retry {client_id}" in page
    assert "002_more.sql" in page

    write_small_blueprint(tmp_path / "small", _002_more="select 1;\n")
    answer = await visitor.send(f"/admin/clients/{client_id}/retry")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/admin/clients/{client_id}"
    # Sent twice: nothing is done a second time, and the page says how it stands.
    answer = await visitor.send(f"/admin/clients/{client_id}/retry")
    assert answer.status_code == 303
    page = (await visitor.see(f"/admin/clients/{client_id}")).text
    assert "nothing to retry" in page
    await _finish(installation, client_id)
    page = (await visitor.see(f"/admin/clients/{client_id}")).text
    assert "<title>✓ Ready: Broken Ltd" in page
    assert "Broken Ltd is ready." in page
    assert "Retry run" not in page, "nothing has failed"


async def test_a_wait_for_the_next_attempt_ticks(
    installation: Installation, visiting: Visiting, tmp_path: Path
) -> None:
    folder = write_small_blueprint(tmp_path / "small", _002_plan=plan_that_fails_at_first(9))
    client_id = await register(installation, "Waiting AG", blueprint=folder, is_finished=True)
    visitor = await visiting(*READ_AND_WRITE)
    page = (await visitor.see(f"/admin/clients/{client_id}")).text
    # Three attempts, hatched between them.
    assert page.count('class="bar-failed"') == 3 + 1  # the legend has one, too
    assert page.count('class="bar-waiting"') in {
        2 + 1,
        2 + 1 + 1,
    }  # it may have waited for a worker
    # As if it still waited for the next one.
    await installation.control.execute(
        "update runs set status = 'waiting', finished_at = null, "
        "next_attempt_at = clock_timestamp() + interval '40 minutes' where client_id = %(id)s",
        id=client_id,
    )
    page = (await visitor.see(f"/admin/clients/{client_id}")).text
    assert re.search(r'is tried again <time [^>]*data-time="due"[^>]*>in (39|40) min</time>', page)
    assert "It is tried again by itself." in page


async def test_nobody_is_offered_what_he_may_not_do(
    installation: Installation, visiting: Visiting
) -> None:
    client_id = await register(installation, "ACME Corp")
    visitor = await visiting(Scope.CLIENTS_READ)
    page = (await visitor.see(f"/admin/clients/{client_id}")).text
    for label in ("Retry run", "Change plan", "Verify isolation", "Reveal connection"):
        assert label not in page
    assert "your account needs the right <code>clients:connect</code>" in page
    assert ">Audit</h2>" not in page
    for path in ("retry", "verify", "release", "plan", "connection", "admin-password"):
        answer = await visitor.send(f"/admin/clients/{client_id}/{path}")
        assert answer.status_code == 403, path


async def test_what_is_not_there_is_said_so(visiting: Visiting) -> None:
    visitor = await visiting(Scope.ADMIN)
    for path in ("", "/plan", "/connection", "/admin-password", "/release"):
        answer = await visitor.see(f"/admin/clients/{uuid4()}{path}")
        assert answer.status_code == 404, path
    for path in ("/retry", "/verify"):
        assert (await visitor.send(f"/admin/clients/{uuid4()}{path}")).status_code == 404, path


async def test_the_form_says_what_is_wrong_at_each_field(visiting: Visiting) -> None:
    visitor = await visiting(*READ_AND_WRITE)
    answer = await visitor.send(
        "/admin/clients/new",
        {"name": " ", "admin_email": "nobody", "plan": "starter", "admin_password": "short"},
    )
    assert answer.status_code == 422
    for name in ("name", "admin_email", "admin_password"):
        assert f'id="wrong-{name}"' in answer.text
        assert f'href="#field-{name}"' in answer.text
    assert "short" not in answer.text.replace("shorter", "")
    answer = await visitor.send(
        "/admin/clients/new",
        {"name": "ACME Corp", "admin_email": "a@acme.com", "plan": "golden"},
    )
    assert answer.status_code == 422
    assert "There is no plan" in answer.text


async def test_a_form_that_is_sent_twice_makes_one_client_and_shows_its_password_once(
    installation: Installation, visiting: Visiting
) -> None:
    visitor = await visiting(*READ_AND_WRITE)
    form: dict[str, object] = {"name": "ACME Corp", "admin_email": "a@acme.com", "plan": "starter"}
    first = await visitor.send("/admin/clients/new", form)
    second = await visitor.send("/admin/clients/new", form)
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    path = first.headers["location"]
    page = await visitor.see(path)
    assert page.headers["cache-control"] == "no-store"
    found = re.search(r'<code id="temporary-password">(\w{20})</code>', page.text)
    assert found is not None
    assert found[1] not in (await visitor.see(path)).text
    rows = await installation.control.fetch_all("select registered_by from clients")
    assert [row["registered_by"] for row in rows] == [f"admin:{visitor.email}"]


async def test_a_ready_client_can_be_connected_to_changed_and_verified(
    installation: Installation, visiting: Visiting, capfd: pytest.CaptureFixture[str]
) -> None:
    """One client for all of it: each provisioning costs time."""
    client_id = await register(installation, "ACME Corp", is_finished=True)
    path = f"/admin/clients/{client_id}"
    visitor = await visiting(Scope.ADMIN)

    # The connection: masked, then revealed after a reason and the password, and audited.
    page = (await visitor.see(path)).text
    assert "postgresql://••••••••@" in page
    await installation.control.execute(
        "update admin_sessions set confirmed_at = confirmed_at - interval '1 hour'"
    )
    answer = await visitor.send(f"{path}/connection", {"role": "app", "reason": "Ticket 4711"})
    assert answer.status_code == 422
    assert "Give your password once more" in answer.text
    fields: dict[str, object] = {"role": "app", "reason": "Ticket 4711", "password": "wrong"}
    answer = await visitor.send(f"{path}/connection", fields)
    assert answer.status_code == 422
    assert "This is not your password" in answer.text
    answer = await visitor.send(f"{path}/connection", fields | {"password": PASSWORD, "reason": ""})
    assert "wrong-reason" in answer.text
    answer = await visitor.send(f"{path}/connection", fields | {"password": PASSWORD})
    assert answer.status_code == 200
    url = re.search(r"<code>(postgresql://[^<]+)</code>", answer.text)
    assert url is not None
    secret = url[1].split(":")[2].split("@")[0]
    assert 'http-equiv="refresh" content="30;' in answer.text
    assert answer.headers["cache-control"] == "no-store"
    # Good for five minutes: no password is asked for again.
    answer = await visitor.send(f"{path}/admin-password", {"reason": "Ticket 4712"})
    assert answer.status_code == 303
    found = re.search(
        r'<code id="temporary-password">(\w{20})</code>', (await visitor.see(path)).text
    )
    assert found is not None
    entries = await list_entries(
        installation.control,
        AuditFilter(client_id=client_id, actor=f"admin:{visitor.email}"),
        limit=9,
    )
    told = {entry.action: entry.details for entry in entries}
    assert told["client.connected"] == {"role": "app", "reason": "Ticket 4711"}
    assert told["client.admin_password_reset"] == {"reason": "Ticket 4712"}
    assert secret not in str(entries)
    assert found[1] not in str(entries)
    assert secret not in capfd.readouterr().err

    # Another plan: what it would mean is seen first, and changes nothing.
    page = (await visitor.see(f"{path}/plan?plan=enterprise")).text
    assert "Starter → Enterprise" in page
    assert "Gained" in page
    assert "API Access" in page
    assert "Lost" in page
    answer = await visitor.send(f"{path}/plan", {"plan": "enterprise"})
    assert answer.status_code == 303
    page = (await visitor.see(path)).text
    assert "Plan is being changed" in page
    await _finish(installation, client_id)
    page = (await visitor.see(path)).text
    assert "Enterprise" in page
    assert "starter → enterprise" in page
    older = re.search(rf'href="{path}\?run=([0-9a-f-]+)#steps">Provision client', page)
    assert older is not None
    assert "This is an older run" in (await visitor.see(f"{path}?run={older[1]}")).text
    answer = await visitor.send(f"{path}/plan", {"plan": "golden"})
    assert answer.status_code == 422

    # Its isolation: asked for, and shown as asked for until a worker has done it.
    answer = await visitor.send(f"{path}/verify")
    assert answer.status_code == 303
    page = (await visitor.see(path)).text
    assert "Waiting for a worker" in page
    assert "An attack is asked for, or under way." in page
    answer = await visitor.send(f"{path}/release", {"confirmation": "ACME"})
    assert answer.status_code == 422


async def test_the_stream_of_a_page_tells_that_it_changed(
    installation: Installation, visiting: Visiting
) -> None:
    client_id = await register(installation, "ACME Corp")
    visitor = await visiting(Scope.CLIENTS_READ)
    page = (await visitor.see(f"/admin/clients/{client_id}")).text
    found = re.search(r'data-live="([^"]+)"', page)
    assert found is not None
    assert await _status(installation, client_id) == "registered"
    assert (await visitor.see(f"/admin/clients/{uuid4()}/events")).status_code == 404


def test_amounts_are_written_as_plans_are() -> None:
    assert amount("contacts", 12_345) == "12,345"
    assert amount("storage_bytes", 10_737_418_240) == "10 GB"
    assert amount("storage_bytes", 1_610_612_736) == "1.5 GB"


@pytest.mark.long
async def test_credentials_are_exchanged_after_it_was_said_what_that_means(
    installation: Installation, visiting: Visiting
) -> None:
    client_id = await register(installation, "ACME Corp", is_finished=True)
    path = f"/admin/clients/{client_id}"
    reader = await visiting(*READ_AND_WRITE)
    assert "Exchange credentials" not in (await reader.see(path)).text
    assert (await reader.see(f"{path}/rotate")).status_code == 403
    visitor = await visiting(Scope.ADMIN)
    assert f'{path}/rotate"' in (await visitor.see(path)).text
    page = (await visitor.see(f"{path}/rotate")).text
    assert "the old ones open nothing" in page
    assert "older keys" not in page, "only a project has them"
    await installation.control.execute(
        "update admin_sessions set confirmed_at = confirmed_at - interval '1 hour'"
    )
    fields: dict[str, object] = {"passwords": "yes", "reason": "Ticket 4713"}
    for sent, said in (
        ({"reason": "Ticket 4713"}, "Choose what is to be exchanged"),
        (fields, "Give your password once more"),
        (fields | {"password": "wrong"}, "This is not your password"),
    ):
        answer = await visitor.send(f"{path}/rotate", sent)
        assert answer.status_code == 422
        assert said in answer.text
    rows = await installation.control.fetch_all("select from credential_rotations")
    assert rows == []
    answer = await visitor.send(f"{path}/rotate", fields | {"password": PASSWORD})
    assert answer.status_code == 303
    page = (await visitor.see(path)).text
    assert "Credentials are being exchanged" in page
    assert "How the exchange of its credentials stands" in page
    await _finish(installation, client_id)
    page = (await visitor.see(path)).text
    assert "Exchange credentials" in page
    assert "How it stands" in page
    (row,) = await installation.control.fetch_all(
        "select passwords, keys, reason, requested_by, retired_at is not null as done"
        " from credential_rotations"
    )
    assert row == {
        "passwords": True, "keys": False, "reason": "Ticket 4713", "done": True,
        "requested_by": f"admin:{visitor.email}",
    }  # fmt: skip
