"""Every night workers attack some of the ready clients, the longest unverified first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from ghostcrm_provisioning.clients.verdict import VERDICTS
from ghostcrm_provisioning.verification.turn import turn_on
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation, Server
from tests.integration.control import are_ready, at_work, fetch, register
from tests.integration.isolation import (
    BREAKS,
    as_superuser,
    jobs,
    long_untouched,
    now,
    ready_client,
    rounds,
    verdicts_on,
)
from tests.integration.processes import Processes
from tests.integration.waiting import eventually

Environment = Callable[..., dict[str, str]]
_EVERY_NIGHT = {"verify_hour": 0, "lease_seconds": 1}


@pytest.fixture(autouse=True)
async def within_one_night() -> None:
    """A night ends at midnight, and the next one has a round of its own: no test begins right before."""

    async def is_far_from_midnight() -> bool:
        now = datetime.now(UTC)
        return (now + timedelta(seconds=80)).date() == now.date()

    await eventually(is_far_from_midnight, what="the next night has begun", within=100)


@pytest.fixture
async def small(opened: OpenInstallation, small_blueprint: Path) -> Installation:
    """Its night has begun; two clients a night."""
    return await opened(blueprint=small_blueprint, verify_sample=2, **_EVERY_NIGHT)


async def test_a_round_takes_the_longest_unverified_once_a_night(small: Installation) -> None:
    clients = [await ready_client(small, f"Client {number}") for number in range(4)]
    await long_untouched(small, *clients[:3])
    # The second one was tried since, whatever came of it.
    await small.control.execute(VERDICTS["note_attempt"], client_id=clients[1].id)
    begun = await asyncio.gather(*(small.verifier.begin_round() for _ in range(4)))
    assert sorted(begun, key=str) == [2, None, None, None], "whoever comes first begins it"
    assert set(await jobs(small)) == {clients[0].id, clients[2].id}
    (night,) = await rounds(small)
    assert night["clients"] == 2
    assert await small.verifier.begin_round() is None


async def test_who_was_proven_today_is_left_alone(small: Installation) -> None:
    await ready_client(small)
    assert await small.verifier.begin_round() == 0
    assert await jobs(small) == []


async def test_there_is_no_round_before_its_hour(small: Installation) -> None:
    before = await small.control.fetch_one(VERDICTS["begin_round"], hour=24)
    assert before is None
    assert await rounds(small) == []


async def test_a_sample_of_none_begins_no_round(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint, verify_sample=0, **_EVERY_NIGHT)
    client = await ready_client(installation)
    await long_untouched(installation, client)
    assert await installation.verifier.begin_round() is None
    assert await rounds(installation) == []


async def test_a_worker_makes_the_round_by_itself(small: Installation, server: Server) -> None:
    sound, broken = await ready_client(small, "Sound"), await ready_client(small, "Broken")
    await long_untouched(small, sound, broken)
    as_superuser(server, broken.database_name, BREAKS["row level security is off"][0])
    async with at_work(small):

        async def is_done() -> bool:
            done = await now(small, broken.id)
            return done.status == "quarantined" and bool(await verdicts_on(small, sound))

        await eventually(is_done, what="both were attacked")
    (of_sound,), (of_broken,) = (
        await verdicts_on(small, sound),
        await verdicts_on(small, broken),
    )
    assert (of_sound.holds, of_sound.requested_by) == (True, "schedule")
    assert (of_broken.holds, of_broken.requested_by) == (False, "schedule")
    assert (await now(small, sound.id)).is_open


async def test_a_command_makes_no_round(opened: OpenInstallation, small_blueprint: Path) -> None:
    """It works on its own request and leaves; others' isolation is for the services."""
    installation = await opened(blueprint=small_blueprint, **_EVERY_NIGHT)
    client = await ready_client(installation)
    await long_untouched(installation, client)
    await installation.verifier.begin_round()
    worker = installation.make_worker(standing=False)
    task = asyncio.create_task(worker.run())
    registered = await register(installation, "Another")

    async def is_provisioned() -> bool:
        return (await now(installation, registered.client_id)).is_open

    await eventually(is_provisioned, what="its own request is done")
    worker.stop()
    await task
    assert await verdicts_on(installation, client) == []
    assert await jobs(installation) == [client.id]


@pytest.mark.long
async def test_a_round_whose_worker_was_killed_is_gone_on_with(
    small: Installation,
    environment: Environment,
    processes: Processes,
    small_blueprint: Path,
) -> None:
    clients = [await ready_client(small, f"Client {number}") for number in range(2)]
    await long_untouched(small, *clients)
    variables = environment(blueprint=small_blueprint, verify_sample=2, **_EVERY_NIGHT)
    # Somebody else has the turn, so the worker waits in the middle of its first verification.
    async with turn_on(small.control, clients[0].server_id, patience_seconds=30):
        worker = processes.start_worker(variables)

        async def waits() -> bool:
            row = await fetch(
                small,
                "select count(*) as waiting from pg_stat_activity"
                " where datname = current_database() and wait_event = 'advisory'"
                " and application_name = 'ghostcrm verification'",
            )
            return bool(row["waiting"])

        await eventually(waits, what="the worker waits for its turn")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert await verdicts_on(small, clients[0]) == []
    async with at_work(small):

        async def all_verified() -> bool:
            return all([await verdicts_on(small, client) for client in clients])

        await eventually(all_verified, what="another worker has gone on")
    assert len(await rounds(small)) == 1


async def test_registrations_go_on_during_a_round(small: Installation) -> None:
    clients = [await ready_client(small, f"Client {number}") for number in range(2)]
    await long_untouched(small, *clients)
    async with turn_on(small.control, clients[0].server_id, patience_seconds=30), at_work(small):

        async def is_at_it() -> bool:
            row = await fetch(
                small,
                "select count(*) as picked from ghostcrm_queue.jobs"
                " where entrypoint = 'verifications' and status = 'picked'",
            )
            return bool(row["picked"] == 1)

        await eventually(is_at_it, what="one verification, and no second, is in hand")
        for number in range(3):
            await register(small, f"New {number}")
        await eventually(lambda: are_ready(small, 5), what="the registrations are done")
        assert await is_at_it()
        # Give the turn back, or the worker could not leave in good order.
        await small.control.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'ghostcrm verification'"
            " and wait_event is distinct from 'advisory'"
        )


async def test_a_client_that_cannot_be_reached_does_not_stand_in_the_way(
    small: Installation, server: Server
) -> None:
    clients = [await ready_client(small, f"Client {number}") for number in range(2)]
    await long_untouched(small, *clients)
    as_superuser(
        server, "postgres", f'alter role "{clients[0].database_name}_app" connection limit 0'
    )
    waits = [await small.verifier.look_after(clients[0].id, attempt) for attempt in range(3)]
    assert waits[-1] is None, "given up, for this night"
    told = await small.control.fetch_all("select subject, severity from notifications")
    assert told == [{"subject": f"{clients[0].name} could not be verified", "severity": "warning"}]
    assert all(wait is not None and wait > 0 for wait in waits[:-1])
    assert await small.verifier.longest_unverified(2) == [clients[1].id, clients[0].id]
    assert (await now(small, clients[0].id)).is_open
    assert await small.verifier.look_after(clients[1].id, 0) is None
    assert len(await verdicts_on(small, clients[1])) == 1


async def test_only_one_has_the_turn_at_a_server(small: Installation) -> None:
    client = await ready_client(small)
    async with turn_on(small.control, client.server_id, patience_seconds=30) as turn:
        waited = asyncio.Event()
        second = asyncio.create_task(
            small.verifier.verify(client.id, requested_by="test", on_wait=waited.set)
        )
        await waited.wait()
        assert not second.done()
        await turn.check()
    assert (await second).holds


async def test_a_turn_that_was_lost_is_noticed(small: Installation, server: Server) -> None:
    client = await ready_client(small)
    async with turn_on(small.control, client.server_id, patience_seconds=30) as turn:
        await turn.check()
        admin = await AsyncConnection.connect(server.running.url(), autocommit=True)
        async with admin:
            await admin.execute(
                "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
                " where application_name = 'ghostcrm verification' and datname = %s",
                (psycopg_name(small),),
            )
        with pytest.raises(Exception, match="control database"):
            await turn.check()


def psycopg_name(installation: Installation) -> str:
    return installation.control.url.rpartition("/")[2].partition("?")[0]
