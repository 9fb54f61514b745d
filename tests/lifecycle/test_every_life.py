"""A client is suspended, resumed, exported and deleted alike, wherever its database is."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ghostcrm_provisioning.connecting import connect_to, reset_admin_password
from ghostcrm_provisioning.errors import (
    ClientDeleted,
    ClientSuspended,
    Conflict,
    NotConfirmed,
    StampMismatch,
)
from ghostcrm_provisioning.exports.manifest import digest_of
from ghostcrm_provisioning.fleet.changing_plan import change_plan, preview_plan_change
from ghostcrm_provisioning.fleet.lifecycle import delete_client, export_client_data
from tests.integration.control import register
from tests.lifecycle.lives import COMPANY, Life, carry_out, is_let_in


async def connect(life: Life) -> str:
    connection = await connect_to(life.installation, life.id, role="owner", requested_by="test")
    return connection.database_url


async def test_suspended_nobody_gets_in_and_resumed_everything_is_as_it_was(life: Life) -> None:
    life.inside("insert into public.things (name) values ('of the client''s')")
    accepted = await life.ask_suspend()
    with pytest.raises(ClientSuspended, match="is being suspended"):
        await connect(life)
    assert await life.stands() == ("ready", "suspended"), "not before it was seen"
    run = await life.carry_out(accepted)
    assert run["status"] == "succeeded", run["error"]
    assert await life.stands() == ("suspended", "suspended")
    assert not await is_let_in(life.url)
    for refused in (
        connect(life),
        change_plan(life.installation, life.id, "enterprise", requested_by="test"),
        preview_plan_change(life.installation, life.id, "enterprise"),
        reset_admin_password(life.installation, life.id, requested_by="test"),
        life.installation.verifier.verify(life.id, requested_by="test"),
    ):
        with pytest.raises(ClientSuspended, match="is suspended since"):
            await refused
    found = await life.explanation()
    assert found.sentence.startswith(f"{COMPANY} is suspended (unpaid): nobody is let in")
    assert (found.ready, found.remedy) == (False, "resume")

    run = await life.resume()
    assert run["status"] == "succeeded", run["error"]
    assert await life.stands() == ("ready", "ready")
    assert (await life.client()).suspended_at is None
    assert (await life.explanation()).sentence == f"{COMPANY} is ready."
    assert await connect(life) == life.url, "the same passwords"
    assert await is_let_in(life.url)
    assert {row["name"] for row in life.inside("select name from public.things")} >= {
        "of the client's"
    }
    assert await life.audited() == [
        "client.suspend_requested",
        "client.exported",
        "client.suspended",
        "client.resume_requested",
        "client.verified",
        "client.resumed",
    ]
    assert (await life.client()).isolation_holds, "it was proven before anybody was let in"


async def test_an_export_is_written_before_and_is_whole(life: Life) -> None:
    await life.suspend()
    (export,) = await life.exports()
    look_at_files_of(life, export)


def look_at_files_of(life: Life, export: dict[str, Any]) -> None:
    path = Path(export["manifest_path"])
    assert path.parent == life.installation.settings.home / "exports" / str(life.id)
    manifest = json.loads(path.read_text())
    assert manifest == export["manifest"]
    assert manifest["clientId"] == str(life.id)
    assert manifest["tables"]["public.things"] == 1
    assert manifest["tables"]["auth.users"] == 1
    assert manifest["tables"]["supabase_migrations.schema_migrations"] >= 1
    assert manifest["blueprintFingerprint"]
    for file in manifest["files"]:
        written = path.parent / file["name"]
        assert written.stat().st_size == file["bytes"]
        assert digest_of(written) == file["sha256"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3, "nothing half-written is left"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_deleted_nothing_is_left_but_the_record(life: Life) -> None:
    secrets = await life.installation.control.fetch_all(
        "select credentials_sealed from client_databases where client_id = %(id)s", id=life.id
    )
    assert secrets[0]["credentials_sealed"] is not None
    run = await life.delete()
    assert run["status"] == "succeeded", run["error"]
    assert life.remains() == []
    assert not await is_let_in(life.url)
    client = await life.client()
    assert (client.status, client.name, client.database_status) == ("deleted", COMPANY, "absent")
    assert client.deleted_at is not None
    assert client.absence, "what was seen: the certificate"
    row = await life.installation.control.fetch_one(
        "select d.credentials_sealed, d.absent_at, a.password_hash_sealed from client_databases d"
        " join client_admins a using (client_id) where client_id = %(id)s",
        id=life.id,
    )
    assert row is not None
    assert row["credentials_sealed"] is None
    assert row["password_hash_sealed"] is None
    assert row["absent_at"] is not None
    found = await life.explanation()
    assert found.sentence == f"{COMPANY} is deleted; seen then: {client.absence}."
    assert found.then is not None
    (export,) = await life.exports()
    assert export["manifest_path"] in found.then
    assert await life.audited() == [
        "client.delete_requested",
        "client.exported",
        "client.deleted",
    ]
    for refused in (
        connect(life),
        life.ask_suspend(),
        life.ask_resume(),
        export_client_data(life.installation, life.id, requested_by="test"),
    ):
        with pytest.raises(ClientDeleted):
            await refused


@pytest.mark.long
async def test_asked_for_twice_it_is_done_once(life: Life) -> None:
    first = await life.ask_suspend()
    second = await life.ask_suspend()
    assert (first.run_id, first.created) == (second.run_id, True)
    assert not second.created
    with pytest.raises(Conflict, match="suspend client"):
        await life.ask_resume()
    with pytest.raises(Conflict, match="suspend client"):
        await life.ask_delete()
    await life.carry_out(first)
    assert (await life.ask_suspend()).run_id is None
    await life.resume()
    assert (await life.ask_resume()).run_id is None
    await life.delete(with_export=False)
    again = await life.ask_delete()
    assert (again.run_id, again.created) == (None, False)


async def test_the_same_company_may_come_back_and_an_id_may_not(life: Life) -> None:
    await life.delete(with_export=False)
    registered = await register(life.installation)
    assert registered.client_id != life.id
    run = await carry_out(life.installation, registered.run_id)
    assert run["status"] == "succeeded", run["error"]


async def test_a_suspended_client_can_be_deleted(life: Life) -> None:
    await life.suspend()
    run = await life.delete()
    assert run["status"] == "succeeded", run["error"]
    assert life.remains() == []
    # A project that is paused cannot be read: what was exported when it was suspended is the last there is.
    assert len(await life.exports()) == (1 if life.is_supabase else 2)


async def test_nothing_is_deleted_that_is_not_named(life: Life) -> None:
    for name in ("", "acme corp", "Somebody else"):
        with pytest.raises(NotConfirmed):
            await delete_client(
                life.installation, life.id, confirmed_name=name, requested_by="test"
            )
    assert await life.stands() == ("ready", "ready")


async def test_without_an_export_none_is_written(life: Life) -> None:
    run = await life.suspend(with_export=False)
    assert run["status"] == "succeeded", run["error"]
    assert await life.exports() == []
    run = await life.resume()
    assert run["status"] == "succeeded", run["error"]


async def test_eight_that_ask_at_once_are_one(life: Life) -> None:
    accepted = await asyncio.gather(*(life.ask_suspend(with_export=False) for _ in range(8)))
    assert len({each.run_id for each in accepted}) == 1
    assert sum(each.created for each in accepted) == 1
    # And several workers at once, one of which is the last to take it up.
    await asyncio.gather(*(life.carry_out(accepted[0]) for _ in range(2)))
    assert await life.stands() == ("suspended", "suspended")


async def test_no_secret_is_in_the_log(life: Life) -> None:
    await life.suspend()
    await life.delete()
    text = "".join(path.read_text() for path in life.installation.settings.logs.iterdir())
    password = life.url.split("@")[0].split(":")[-1]
    assert '"run_succeeded"' in text
    assert password not in text


async def test_what_is_not_ours_any_more_is_not_removed(life: Life) -> None:
    if life.is_supabase:
        pytest.skip("tried with the provider itself")
    with life.server.superuser() as connection:
        connection.execute(f"comment on database {life.database} is 'somebody else''s'".encode())
    run = await life.delete(with_export=False)
    assert run["status"] == "failed"
    assert run["error"]["code"] == StampMismatch.code
    assert life.database in life.remains()
    found = await life.explanation()
    assert found.remedy == "retry"
    assert "could not be deleted" in found.sentence
