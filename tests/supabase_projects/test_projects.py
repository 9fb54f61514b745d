"""One project for each database, by whomever and however often it is asked for; and honest waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from ghostcrm_provisioning.errors import (
    ProjectGone,
    ProjectStuck,
    ProjectUnusable,
    StampMismatch,
    SupabaseRejected,
    SupabaseUnavailable,
    ToldToWait,
)
from ghostcrm_provisioning.providers.supabase.key_names import FIRST_NAME
from ghostcrm_provisioning.providers.supabase.patience import Patience, patience_for
from tests.running_platform import create_project, wait_for
from tests.supabase_projects.conftest import Asking, Starting, projects_in
from tests.supabase_projects.workers import Place, Worker, working


def _named(caller: httpx.Client, place: Place, name: str, **more: Any) -> dict[str, Any]:
    """A project that somebody else has made."""
    return create_project(caller, place.organization, name=name, **more)


def _rename(caller: httpx.Client, ref: str) -> None:
    caller.patch(f"/v1/projects/{ref}", json={"name": "theirs now"}).raise_for_status()


def _take_back(caller: httpx.Client, fault: dict[str, Any]) -> None:
    assert caller.delete(f"/platform/faults/{fault['id']}").is_success


def _remove(caller: httpx.Client, ref: str) -> None:
    caller.delete(f"/v1/projects/{ref}").raise_for_status()


@pytest.mark.parametrize("request_seconds", [0.1, 5, 30, 300])
def test_what_was_not_answered_is_waited_for_longer_than_a_request_may_take(
    request_seconds: float,
) -> None:
    assert patience_for(request_seconds).create_grace >= max(30, 2 * request_seconds)
    assert patience_for(30) == Patience()


@pytest.fixture
async def several(place: Place) -> AsyncIterator[list[Worker]]:
    async with AsyncExitStack() as resources:
        yield [await resources.enter_async_context(working(place)) for _ in range(6)]


async def test_workers_at_once_end_with_one_project(
    several: list[Worker], place: Place, caller: httpx.Client, fault: Asking
) -> None:
    fault(kind="duplicate_name", times=None)
    database_id = uuid4()
    seen = await asyncio.gather(*(each.until_done("ensure", database_id) for each in several))
    [only] = projects_in(caller, place)
    assert {each.ref for each in seen} == {only["ref"]}
    assert "told_to_wait" in {error for each in several for error in each.errors}


@pytest.mark.long
async def test_processes_at_once_end_with_one_project(
    place: Place, caller: httpx.Client, fault: Asking, in_another_process: Starting
) -> None:
    fault(kind="duplicate_name", times=None)
    database_id = uuid4()
    processes = [in_another_process(place, "ensure", database_id) for _ in range(3)]
    refs = {await asyncio.to_thread(process.ref) for process in processes}
    [only] = projects_in(caller, place)
    assert refs == {only["ref"]}


async def test_what_is_not_exactly_our_stamp_is_never_adopted(
    worker: Worker, place: Place, caller: httpx.Client
) -> None:
    database_id = uuid4()
    stamp = worker.projects.stamp(database_id)
    others = {
        _named(caller, place, name)["ref"]
        for name in (
            f"{stamp} (copy)",
            stamp.upper(),
            f"ghostcrm-{database_id.hex}-{uuid4().hex}",
            f"ghostcrm-{uuid4().hex}-{UUID(place.installation_id).hex}",
            database_id.hex,
        )
    }
    made = await worker.until_done("ensure", database_id)
    assert made.ref not in others
    await worker.until_done("delete", database_id)
    assert {each["ref"] for each in projects_in(caller, place)} == others


async def test_a_project_with_our_stamp_is_adopted(
    worker: Worker, place: Place, caller: httpx.Client
) -> None:
    """The reply was lost, and so was the worker."""
    database_id = uuid4()
    made = _named(caller, place, worker.projects.stamp(database_id))
    assert (await worker.until_done("ensure", database_id)).ref == made["ref"]


async def test_of_two_with_our_stamp_the_oldest_is_used_and_the_other_is_left(
    worker: Worker,
    place: Place,
    caller: httpx.Client,
    fault: Asking,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault(kind="duplicate_name", times=None)
    database_id = uuid4()
    older, younger = (
        _named(caller, place, worker.projects.stamp(database_id))["ref"] for _ in range(2)
    )
    wait_for(caller, younger)
    for _ in range(2):
        assert (await worker.until_done("ensure", database_id)).ref == older
    removal = await worker.until_done("delete", database_id)
    assert (removal.ref, removal.left) == (older, (younger,))
    assert [each["ref"] for each in projects_in(caller, place)] == [younger]


@pytest.mark.parametrize("what", ["renamed", "transferred"])
async def test_a_project_that_was_renamed_or_transferred_is_left_alone(
    worker: Worker, place: Place, caller: httpx.Client, what: str
) -> None:
    database_id = uuid4()
    made = await worker.until_done("ensure", database_id)
    if what == "renamed":
        _rename(caller, made.ref)
    else:  # seen from us, it is in another organization than it was made in
        with psycopg.connect(place.control_url) as control:
            control.execute(
                "update ghostcrm.supabase_projects set organization_slug = 'where-it-was' where database_id = %s",
                (database_id,),
            )
    for operation in ("ensure", "pause", "restore", "keys", "delete"):
        with pytest.raises(StampMismatch):
            await worker.once(operation, database_id)
    assert [each["ref"] for each in projects_in(caller, place)] == [made.ref]


async def _ask_and_hear_nothing(
    place: Place, caller: httpx.Client, fault: Asking, database_id: UUID
) -> dict[str, Any]:
    """A project was asked for by somebody who has lost patience. The platform has the request, and does
    nothing about it until the fault, which is returned, is taken back."""
    silence = fault(kind="silence", method="POST", path="/v1/projects", seconds=3600, times=None)
    async with working(replace(place, request_seconds=0.5)) as worker:
        while not _times_met(caller, silence):
            # So short a patience may end at a call before it, too, or before the platform has met it.
            with pytest.raises(
                (SupabaseUnavailable, ToldToWait),
                match=r"has not answered|cannot be reached|was not answered",
            ):
                await worker.once("ensure", database_id)
            await asyncio.sleep(0.05)
    return silence


def _times_met(caller: httpx.Client, fault: dict[str, Any]) -> int:
    [met] = [
        each["met"] for each in caller.get("/platform/faults").json() if each["id"] == fault["id"]
    ]
    return int(met)


async def test_nothing_is_asked_for_again_while_a_lost_request_may_still_be_done(
    worker: Worker, place: Place, caller: httpx.Client, fault: Asking
) -> None:
    """The look after it comes too early; the platform is not of help with names."""
    fault(kind="duplicate_name", times=None)
    database_id = uuid4()
    silence = await _ask_and_hear_nothing(place, caller, fault, database_id)
    for _ in range(3):
        with pytest.raises(ToldToWait, match="may still appear"):
            await worker.once("ensure", database_id)
    assert _times_met(caller, silence) == 1
    _take_back(caller, silence)
    await worker.until_done("ensure", database_id)
    assert [method for method, _ in worker.watched.sent if method != "GET"] == []
    assert len(projects_in(caller, place)) == 1


async def test_a_lost_request_that_was_never_done_is_repeated_after_the_grace(
    place: Place, caller: httpx.Client, fault: Asking
) -> None:
    fault(kind="error_before", method="POST", path="/v1/projects")
    async with working(replace(place, create_grace=0.3)) as worker:
        await worker.until_done("ensure", uuid4())
        assert worker.errors[:2] == ["supabase_unavailable", "told_to_wait"]
    assert len(projects_in(caller, place)) == 1


async def test_a_deletion_waits_for_a_project_that_may_still_appear(
    worker: Worker, place: Place, caller: httpx.Client, fault: Asking
) -> None:
    database_id = uuid4()
    silence = await _ask_and_hear_nothing(place, caller, fault, database_id)
    with pytest.raises(ToldToWait, match="may still appear"):
        await worker.once("delete", database_id)
    _take_back(caller, silence)
    removal = await worker.until_done("delete", database_id)
    assert removal.ref is not None
    assert projects_in(caller, place) == []


async def test_a_deleted_database_does_not_come_back(worker: Worker, place: Place) -> None:
    database_id = uuid4()
    await worker.until_done("ensure", database_id)
    for _ in range(2):
        await worker.until_done("delete", database_id)
    with pytest.raises(ProjectGone, match="by this system"):
        await worker.once("ensure", database_id)
    assert await worker.projects.observe(database_id) is None


async def test_a_project_that_others_deleted_is_not_made_anew(
    worker: Worker, caller: httpx.Client, place: Place
) -> None:
    database_id = uuid4()
    made = await worker.until_done("ensure", database_id)
    _remove(caller, made.ref)
    for operation in ("ensure", "pause", "restore", "keys"):
        with pytest.raises(ProjectGone):
            await worker.once(operation, database_id)
    await worker.until_done("delete", database_id)
    assert projects_in(caller, place) == []


async def test_one_that_is_gone_before_it_was_ready_is_made_again(
    worker: Worker, caller: httpx.Client, place: Place, fault: Asking
) -> None:
    database_id = uuid4()
    stuck = fault(kind="stuck", method="POST", path="/v1/projects", state="COMING_UP")
    first = _named(caller, place, worker.projects.stamp(database_id))
    with pytest.raises(ToldToWait):
        await worker.once("ensure", database_id)
    _take_back(caller, stuck)
    wait_for(caller, first["ref"])
    _remove(caller, first["ref"])
    second = await worker.until_done("ensure", database_id)
    assert second.ref != first["ref"]
    assert len(projects_in(caller, place)) == 1


@pytest.mark.parametrize("status", ["COMING_UP", "UNKNOWN"])
async def test_a_project_that_is_stuck_is_waited_for_and_then_explained(
    status: str, place: Place, fault: Asking
) -> None:
    fault(kind="stuck", method="POST", path="/v1/projects", state=status)
    database_id = uuid4()
    async with working(place, deadlines={status: 0.5}) as worker:
        with pytest.raises(ProjectStuck) as stuck:
            await worker.until_done("ensure", database_id)
        assert set(worker.errors) == {"told_to_wait"}
        assert status in stuck.value.message
        assert stuck.value.details["status"] == status
        assert "support" in stuck.value.next_step


@pytest.mark.parametrize(("operation", "status"), [("pause", "PAUSING"), ("restore", "RESTORING")])
async def test_stuck_in_pausing_or_restoring_is_explained_too(
    operation: str, status: str, place: Place, fault: Asking
) -> None:
    database_id = uuid4()
    async with working(place, deadlines={status: 0.5}) as worker:
        await worker.until_done("ensure", database_id)
        if operation == "restore":
            async with working(place) as patient:
                await patient.until_done("pause", database_id)
        fault(kind="stuck", method="POST", path=f"/v1/projects/*/{operation}")
        with pytest.raises(ProjectStuck, match=status):
            await worker.until_done(operation, database_id)
        # Whoever asks again is told the same, and nothing is asked of Supabase again.
        worker.watched.sent.clear()
        with pytest.raises(ProjectStuck, match=status):
            await worker.once(operation, database_id)
        assert {method for method, _ in worker.watched.sent} == {"GET"}


async def test_a_paused_project_is_not_taken_for_a_running_one(worker: Worker) -> None:
    database_id = uuid4()
    await worker.until_done("ensure", database_id)
    assert (await worker.until_done("pause", database_id)).status == "INACTIVE"
    with pytest.raises(ProjectUnusable, match="paused"):
        await worker.once("ensure", database_id)
    assert (await worker.until_done("restore", database_id)).status == "ACTIVE_HEALTHY"
    await worker.until_done("ensure", database_id)


async def test_a_project_that_supabase_does_not_pause_is_explained(
    worker: Worker, fault: Asking
) -> None:
    """Of a paid plan, for example."""
    database_id = uuid4()
    await worker.until_done("ensure", database_id)
    fault(kind="error_before", method="POST", path="/v1/projects/*/pause", status=400)
    with pytest.raises(SupabaseRejected, match="400") as raised:
        await worker.until_done("pause", database_id)
    assert "plan Free" in raised.value.next_step


async def test_a_paused_project_is_deleted_too(
    worker: Worker, caller: httpx.Client, place: Place
) -> None:
    database_id = uuid4()
    await worker.until_done("ensure", database_id)
    await worker.until_done("pause", database_id)
    await worker.until_done("delete", database_id)
    assert projects_in(caller, place) == []


async def test_a_refusal_is_passed_on_and_the_next_request_is_not_held_up(
    place: Place, caller: httpx.Client, fault: Asking
) -> None:
    fault(kind="error_before", method="POST", path="/v1/projects", status=402)
    # So that it has not arrived yet when it is looked for.
    fault(kind="stuck", method="POST", path="/v1/projects", state="COMING_UP")
    async with working(place) as worker:
        database_id = uuid4()
        with pytest.raises(SupabaseRejected, match="402"):
            await worker.once("ensure", database_id)
        with pytest.raises(ToldToWait, match="COMING_UP"):
            await worker.once("ensure", database_id)
        assert len(projects_in(caller, place)) == 1


async def test_keys_are_shown_to_nobody_by_accident(worker: Worker) -> None:
    database_id = uuid4()
    await worker.until_done("ensure", database_id)
    keys = await worker.until_done("keys", database_id)
    assert keys.secret.startswith("sb_secret_")
    assert keys.publishable.startswith("sb_publishable_")
    assert keys.anon is not None
    assert keys.service_role is not None
    for value in (keys.secret, keys.publishable, keys.anon, keys.service_role):
        assert value not in repr(keys)


async def test_a_key_whose_request_was_thought_to_be_lost_is_used(
    worker: Worker, caller: httpx.Client
) -> None:
    """It arrives just after it was seen not to be there."""
    database_id = uuid4()
    ref = (await worker.until_done("ensure", database_id)).ref
    _lose_secret_keys(caller, ref)

    async def arrives() -> None:
        _make_secret_key(caller, ref)

    worker.watched.meanwhile["POST", "/v1/projects/*/api-keys"] = arrives
    keys = await worker.once("keys", database_id)
    assert [each["api_key"] for each in _secret_keys(caller, ref)] == [keys.secret]


def _secret_keys(caller: httpx.Client, ref: str) -> list[dict[str, Any]]:
    keys = caller.get(f"/v1/projects/{ref}/api-keys?reveal=true").json()
    return [each for each in keys if each["type"] == "secret"]


def _lose_secret_keys(caller: httpx.Client, ref: str) -> None:
    for each in _secret_keys(caller, ref):
        caller.delete(f"/v1/projects/{ref}/api-keys/{each['id']}").raise_for_status()


def _make_secret_key(caller: httpx.Client, ref: str) -> None:
    body = {"type": "secret", "name": FIRST_NAME}
    caller.post(f"/v1/projects/{ref}/api-keys", json=body).raise_for_status()


def test_looks_become_rarer_and_are_never_at_the_same_instant() -> None:
    patience = Patience()
    assert all(1.6 <= patience.next_look(0) <= 2.4 for _ in range(50))
    assert all(24 <= patience.next_look(3600) <= 36 for _ in range(50))
    assert patience.next_look(60) > patience.next_look(1)
    assert len({patience.next_look(30) for _ in range(20)}) > 15
    told = patience.come_back("abc", "SOMETHING_NEW", 10)
    assert "SOMETHING_NEW" in told.message
    with pytest.raises(ProjectStuck):
        patience.come_back("abc", "SOMETHING_NEW", 3601)
