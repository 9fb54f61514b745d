"""What is special about projects at Supabase: they are paused, and one waits for that; Supabase pauses some by
itself; and somebody may delete one behind our back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest

from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.errors import ClientSuspended, SupabaseAccessDenied
from ghostcrm_provisioning.fleet.rotating import rotate_credentials
from tests.integration.control import find_run
from tests.lifecycle.lives import Life, carry_out, is_let_in
from tests.running_platform import RunningPlatform, wait_for

pytestmark = pytest.mark.long


@pytest.fixture
def ref(on_supabase: Life) -> str:
    return on_supabase.database.removeprefix("supabase_")


@contextmanager
def on_its_way(platform: RunningPlatform, ref: str, operation: str, status: str) -> Iterator[None]:
    """What is begun meanwhile does not arrive before this ends, however slow we are."""
    fault = {
        "kind": "stuck",
        "method": "POST",
        "path": f"/v1/projects/{ref}/{operation}",
        "state": status,
    }
    with platform.caller() as caller:
        made = caller.post("/platform/faults", json=fault)
        assert made.status_code == 201, made.text
        try:
            yield
        finally:
            caller.delete(f"/platform/faults/{made.json()['id']}").raise_for_status()


async def test_being_told_to_wait_is_no_failure(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    for ask, step, what, operation, status in (
        (on_supabase.ask_suspend, "pause_database", "paused", "pause", "PAUSING"),
        (on_supabase.ask_resume, "wake_database", "restored", "restore", "RESTORING"),
    ):
        accepted = await ask()
        assert accepted.run_id is not None
        with on_its_way(platform, ref, operation, status):
            wait = await on_supabase.installation.provisioner.carry_out(accepted.run_id, uuid4())
            assert wait is not None, what
        run = await on_supabase.carry_out(accepted)
        assert run["status"] == "succeeded", what
        outcomes = await on_supabase.outcomes(accepted.run_id)
        assert (step, "told_to_wait") in outcomes, what
        assert {outcome for _, outcome in outcomes} == {"told_to_wait", "done"}, what


async def test_while_one_waits_it_is_said_for_what(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    accepted = await on_supabase.ask_suspend(with_export=False)
    assert accepted.run_id is not None
    with on_its_way(platform, ref, "pause", "PAUSING"):
        wait = await on_supabase.installation.provisioner.carry_out(accepted.run_id, uuid4())
        assert wait is not None
        found = await on_supabase.explanation()
    assert found.status == "suspended", "closed it is already"
    assert "no worker is running: nobody is let in" in found.sentence
    run = await find_run(on_supabase.installation, accepted.run_id)
    assert run["status"] == "waiting"
    assert "is PAUSING: it is being paused" in run["error"]["message"]
    await on_supabase.carry_out(accepted)


async def test_a_key_that_others_have_deleted_is_said_and_exchanged(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    life, keys = on_supabase, f"/v1/projects/{ref}/api-keys"
    with platform.caller() as caller:
        for each in caller.get(keys).json():
            if each["type"] == "secret":
                caller.delete(f"{keys}/{each['id']}").raise_for_status()
    for expected in (True, False):
        opened = await connect_to(life.installation, life.id, role="owner", requested_by="test")
        is_said = "does not take the service role key any more" in (opened.warning or "")
        assert is_said == expected, opened.warning
        if expected:
            assert f"clients rotate {life.id} --keys" in (opened.warning or "")
            with pytest.raises(SupabaseAccessDenied) as refused:
                await life.installation.verifier.verify(life.id, requested_by="test")
            assert "clients rotate" in refused.value.next_step
            accepted = await rotate_credentials(
                life.installation, life.id, requested_by="test", keys=True
            )
            await carry_out(life.installation, accepted.run_id)


async def test_a_suspended_project_answers_nothing(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    await on_supabase.suspend()
    with platform.caller() as caller:
        assert caller.get(f"/v1/projects/{ref}").json()["status"] == "INACTIVE"
    async with httpx.AsyncClient(timeout=60) as stranger:
        answer = await stranger.get(f"{platform.url}/project/{ref}/rest/v1/")
    assert answer.status_code >= 400
    assert not await is_let_in(on_supabase.url)


async def test_one_that_supabase_has_paused_is_explained_and_comes_back(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    life = on_supabase
    with platform.caller() as caller:
        caller.post(f"/v1/projects/{ref}/pause").raise_for_status()
        wait_for(caller, ref, "INACTIVE")
    for role in ("owner", "app"):
        with pytest.raises(ClientSuspended, match="INACTIVE") as refused:
            await connect_to(life.installation, life.id, role=role, requested_by="test")
        assert "nobody has used for a week" in refused.value.message
        assert f"clients resume {life.id}" in refused.value.next_step
    found = await life.explanation()
    assert (found.ready, found.code, found.remedy) == (False, "client_suspended", "resume")
    run = await life.resume()
    assert run["status"] == "succeeded", run["error"]
    assert (await life.explanation()).ready
    assert await is_let_in(life.url)


async def test_one_that_supabase_has_paused_can_be_suspended_and_comes_back_proven(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    life = on_supabase
    with platform.caller() as caller:
        caller.post(f"/v1/projects/{ref}/pause").raise_for_status()
        wait_for(caller, ref, "INACTIVE")
    run = await life.suspend()
    assert run["status"] == "succeeded", run["error"]
    assert await life.exports() == [], "it cannot be read"
    run = await life.resume()
    assert run["status"] == "succeeded", run["error"]
    assert await is_let_in(life.url)


async def test_one_that_somebody_else_has_deleted_is_seen_to_be_gone(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    with platform.caller() as caller:
        caller.delete(f"/v1/projects/{ref}").raise_for_status()
    run = await on_supabase.delete()
    assert run["status"] == "succeeded", run["error"]
    assert (await on_supabase.client()).absence == "the project is not there"
    assert await on_supabase.exports() == []


async def test_a_paused_project_is_not_deleted_without_any_export(
    on_supabase: Life, platform: RunningPlatform, ref: str
) -> None:
    life = on_supabase
    await life.suspend(with_export=False)
    run = await life.delete()
    assert run["status"] == "failed"
    assert run["error"]["code"] == "export_not_possible"
    with platform.caller() as caller:
        assert caller.get(f"/v1/projects/{ref}").json()["status"] == "INACTIVE", "it is still there"
    found = await life.explanation()
    assert "--no-export" in (found.then or "")
    run = await life.delete(with_export=False)
    assert run["status"] == "succeeded", run["error"]
    assert life.remains() == []


async def test_an_owner_who_begins_as_somebody_else_is_exported_all_the_same(
    on_supabase: Life,
) -> None:
    on_supabase.inside(f"alter role {on_supabase.database}_postgres set role = anon")
    await on_supabase.suspend()
    (export,) = await on_supabase.exports()
    assert export["manifest"]["tables"]["public.things"] == 1
