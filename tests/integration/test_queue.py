"""The queue and its workers, on a real PostgreSQL and with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from ghostcrm_provisioning.errors import DatabaseRejected
from ghostcrm_provisioning.queue.provisioning_queue import lane_of_server
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation, Server
from tests.integration.control import (
    Registered,
    are_ready,
    at_work,
    fetch,
    find_run,
    hold,
    list_attempts,
    register,
    whole_contents,
)
from tests.integration.processes import Processes
from tests.integration.small_blueprint import raising, write_small_blueprint
from tests.integration.waiting import eventually

Environment = Callable[..., dict[str, str]]

ALL_STEPS_DONE_AT_ONCE = [
    ("acquire_database", 1, "done"),
    ("install_blueprint", 1, "done"),
    ("create_admin", 1, "done"),
    ("apply_plan_settings", 1, "done"),
    ("prove_isolation", 1, "done"),
    ("hand_over", 1, "done"),
]


async def _count(installation: Installation) -> tuple[int, int]:
    row = await fetch(
        installation,
        "select (select count(*) from clients) as clients,"
        " (select count(*) from ghostcrm_queue.jobs) as jobs",
    )
    return row["clients"], row["jobs"]


async def _running(installation: Installation) -> list[UUID]:
    rows = await installation.control.fetch_all("select id from runs where status = 'running'")
    return [row["id"] for row in rows]


async def _many(installation: Installation, count: int, plan: str = "starter") -> list[Registered]:
    return [
        await register(installation, f"{plan.title()} {number}", plan=plan)
        for number in range(count)
    ]


async def _worker_of(installation: Installation, registered: Registered) -> dict[str, Any] | None:
    """The worker that has the run, once one has and is at a step."""
    return await installation.control.fetch_one(
        "select w.* from runs r join workers w on w.id = r.worker_id"
        " join step_attempts a on a.run_id = r.id and a.fence = r.fence"
        " where r.id = %(id)s and r.status = 'running'",
        id=registered.run_id,
    )


# --- enqueueing ---------------------------------------------------------------------------------


async def test_the_job_appears_in_the_same_instant_as_the_client(
    installation: Installation,
) -> None:
    """A registration is stopped between its last statement and its commit."""
    await installation.control.execute(
        "create function pause() returns trigger language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock(4711); return new; end $$"
    )
    await installation.control.execute(
        "create trigger pause before insert on audit_log for each row execute function pause()"
    )
    async with installation.control.connection() as gate:
        await gate.execute("select pg_advisory_lock(4711)")
        registering = asyncio.create_task(register(installation))

        async def has_arrived() -> bool:
            row = await fetch(
                installation,
                "select count(*) as waiting from pg_locks where locktype = 'advisory'"
                " and objid = 4711 and not granted",
            )
            return bool(row["waiting"])

        await eventually(has_arrived, what="the registration waits before its commit")
        assert await _count(installation) == (0, 0)
        await gate.execute("select pg_advisory_unlock(4711)")
        await registering
    assert await _count(installation) == (1, 1)


async def test_a_registration_that_is_rolled_back_leaves_neither_client_nor_job(
    installation: Installation,
) -> None:
    await installation.control.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no'; end $$"
    )
    await installation.control.execute(
        "create trigger refuse before insert on audit_log for each row execute function refuse()"
    )
    before = await whole_contents(installation)
    with pytest.raises(DatabaseRejected):
        await register(installation)
    assert await whole_contents(installation) == before
    assert await _count(installation) == (0, 0)


# --- order and limits ---------------------------------------------------------------------------


async def test_runs_start_by_plan_priority_and_then_by_arrival(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint, concurrency_per_server=1)
    for plan in ("starter", "professional", "enterprise"):
        await _many(installation, 2, plan)
    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 6), what="all six are ready")
    rows = await installation.control.fetch_all(
        "select c.name from runs r join clients c on c.id = r.client_id order by r.started_at"
    )
    assert [row["name"] for row in rows] == [
        "Enterprise 0", "Enterprise 1", "Professional 0", "Professional 1", "Starter 0", "Starter 1",
    ]  # fmt: skip


@pytest.mark.long
async def test_two_workers_together_keep_the_limit_of_a_server(
    opened: OpenInstallation,
    environment: Environment,
    processes: Processes,
    small_blueprint: Path,
) -> None:
    # Two at most for one worker: when three are at work, both workers are.
    choice = {"blueprint": small_blueprint, "concurrency_per_server": 3, "worker_concurrency": 2}
    installation = await opened(**choice)
    variables = environment(**choice)
    clients = await _many(installation, 12)
    async with hold(installation, *clients) as held:
        for _ in range(2):
            processes.start_worker(variables)

        async def all_places_are_taken() -> list[UUID]:
            running = await _running(installation)
            assert len(running) <= 3
            return running if len(running) == 3 else []

        released: set[UUID] = set()
        for _ in range(10):
            running = await eventually(all_places_are_taken, what="three runs at the same time")
            first = next(each for each in clients if each.run_id in running)
            assert first.run_id not in released
            released.add(first.run_id)
            await held.release(first.database)
            await eventually(
                lambda first=first: _is_over(installation, first),  # type: ignore[misc]
                what="the released run ends",
            )
        await held.release_all()
        await eventually(lambda: are_ready(installation, 12), what="all are ready")
    rows = await installation.control.fetch_all(
        "select (select count(*) from runs b where b.started_at <= a.started_at"
        " and b.finished_at > a.started_at) as at_once, worker_id from runs a"
    )
    assert max(row["at_once"] for row in rows) == 3
    assert len({row["worker_id"] for row in rows}) == 2, "both workers had work"


async def _is_over(installation: Installation, registered: Registered) -> bool:
    return (await find_run(installation, registered.run_id))["finished_at"] is not None


@pytest.mark.long
async def test_one_at_a_time_with_a_pause_of_a_second_is_a_setting(
    opened: OpenInstallation,
    environment: Environment,
    processes: Processes,
    small_blueprint: Path,
) -> None:
    choice = {"blueprint": small_blueprint, "concurrency_per_server": 1, "pause_seconds": 1}
    installation = await opened(**choice)
    await _many(installation, 3)
    for _ in range(2):
        processes.start_worker(environment(**choice))
    await eventually(lambda: are_ready(installation, 3), what="all are ready")
    rows = await installation.control.fetch_all(
        "select started_at, finished_at from runs order by started_at"
    )
    for earlier, later in pairwise(rows):
        pause = (later["started_at"] - earlier["finished_at"]).total_seconds()
        assert pause >= 0.95, "never two at once, and a second between them"


async def test_a_worker_that_may_do_one_thing_does_one_thing(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint, worker_concurrency=1)
    clients = await _many(installation, 3)
    async with hold(installation, *clients) as held, at_work(installation):
        for client in clients:
            running = await eventually(lambda: _running(installation), what="one is being done")
            assert running == [client.run_id]
            await held.release(client.database)
            await eventually(
                lambda client=client: _is_over(installation, client),  # type: ignore[misc]
                what="the released run ends",
            )
    rows = await installation.control.fetch_all(
        "select started_at, finished_at from runs order by started_at"
    )
    for earlier, later in pairwise(rows):
        assert later["started_at"] >= earlier["finished_at"]


async def test_the_queues_status_is_right_while_runs_are_held_up(
    opened: OpenInstallation, small_blueprint: Path, tmp_path: Path
) -> None:
    busy = write_small_blueprint(tmp_path / "busy", _002_busy=raising("55P03"))
    broken = write_small_blueprint(tmp_path / "broken", _002_broken=raising("22012"))
    installation = await opened(
        blueprint=small_blueprint, concurrency_per_server=2, retry_first_wait_seconds=60
    )
    status = await installation.queue.status()
    assert (status.queue_length, status.processing, status.waiting) == (0, 0, 0)
    assert (status.oldest_wait_ms, status.failed_last_day, status.current) == (None, 0, [])
    assert status.standing_workers == 0

    waiting = await register(installation, "Waiting", blueprint=busy)
    await register(installation, "Broken", blueprint=broken)
    held_up = await _many(installation, 3)
    status = await installation.queue.status()
    assert (status.queue_length, status.processing, status.waiting) == (5, 0, 0)
    assert status.oldest_wait_ms is not None

    async with hold(installation, *held_up) as held:
        async with at_work(installation):

            async def settled() -> bool:
                status = await installation.queue.status()
                counts = (status.queue_length, status.processing, status.waiting)
                # A run is running from the moment it is taken up; its first attempt begins right after.
                begun = all(row["attempt"] > 0 for row in status.current)
                return counts == (1, 2, 1) and status.failed_last_day == 1 and begun

            await eventually(settled, what="one waits, one has failed, two run, one is queued")
            status = await installation.queue.status()
            assert status.standing_workers == 1
            current = {row["client_name"]: row for row in status.current}
            assert set(current) == {"Waiting", "Starter 0", "Starter 1"}
            assert current["Waiting"]["run_id"] == waiting.run_id
            assert current["Waiting"]["status"] == "waiting"
            assert current["Waiting"]["attempt"] == 2
            assert current["Waiting"]["next_attempt_at"] is not None
            for name in ("Starter 0", "Starter 1"):
                assert current[name]["status"] == "running"
                assert (current[name]["step"], current[name]["attempt"]) == ("acquire_database", 1)
                assert current[name]["worker_process_id"] == os.getpid()
            await held.release_all()
            await eventually(lambda: are_ready(installation, 3), what="those held up are ready")
        status = await installation.queue.status()
        assert (status.queue_length, status.processing, status.waiting) == (0, 0, 1)
        assert status.standing_workers == 0, "it has left"


# --- nudges that are lost or repeated -----------------------------------------------------------


async def test_a_job_that_was_lost_is_put_back(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint, lease_seconds=1)
    await register(installation)
    await installation.control.execute("delete from ghostcrm_queue.jobs")
    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 1), what="it is ready all the same")
        second = await register(installation, "Second")
        async with hold(installation, second):
            await installation.control.execute("delete from ghostcrm_queue.jobs")
        await eventually(lambda: are_ready(installation, 2), what="the second too")


async def test_a_job_that_is_still_there_is_not_put_back(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint)
    registered = await register(installation)
    # Older than any lease.
    aged = "update runs set updated_at = updated_at - interval '1 hour'"
    await installation.control.execute(aged)
    assert await installation.queue.restore_lost_jobs() == 0
    async with hold(installation, registered) as held, at_work(installation):
        await eventually(lambda: _running(installation), what="it is being worked on")
        await installation.control.execute(aged)
        assert await installation.queue.restore_lost_jobs() == 0
        await held.release_all()
        await eventually(lambda: are_ready(installation, 1), what="it is ready")
    assert await list_attempts(installation, registered.run_id) == ALL_STEPS_DONE_AT_ONCE


async def test_a_job_delivered_twice_does_nothing_the_second_time(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint)
    registered = await register(installation)

    async def no_job_is_left() -> bool:
        return (await _count(installation))[1] == 0

    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 1), what="it is ready")
        await eventually(no_job_is_left, what="its job is gone")
        before = await whole_contents(installation)
        server = await fetch(installation, "select server_id from client_databases")
        async with installation.control.connection() as connection:
            await installation.queue.enqueue(
                connection,
                registered.run_id,
                lane=lane_of_server(server["server_id"]),
                priority=0,
            )
        await eventually(no_job_is_left, what="the second job was taken")
    assert await installation.provisioner.carry_out(registered.run_id, uuid4()) is None
    assert await whole_contents(installation) == before


# --- workers that die, stop, and lose their connections -----------------------------------------


async def _let_time_pass(installation: Installation, seconds: float) -> None:
    """For the leases of the jobs that are in hand, and for them alone."""
    await installation.control.execute(
        "update ghostcrm_queue.jobs set heartbeat = heartbeat - make_interval(secs => %(seconds)s)"
        " where status = 'picked'",
        seconds=seconds,
    )


async def test_the_run_of_a_killed_worker_is_taken_up_by_another_when_its_lease_is_over(
    opened: OpenInstallation,
    environment: Environment,
    processes: Processes,
    small_blueprint: Path,
) -> None:
    # A lease that no worker loses by being slow; that it has run out is told the queue by hand.
    lease = 300
    installation = await opened(blueprint=small_blueprint, lease_seconds=lease)
    variables = environment(blueprint=small_blueprint, lease_seconds=lease)
    registered = await register(installation)
    async with hold(installation, registered) as held:
        for _ in range(2):
            processes.start_worker(variables)
        victim = await eventually(
            lambda: _worker_of(installation, registered), what="a worker has the run"
        )
        os.kill(victim["process_id"], signal.SIGKILL)

        async def another_has_it() -> bool:
            worker = await _worker_of(installation, registered)
            return worker is not None and worker["id"] != victim["id"]

        await _let_time_pass(installation, lease / 2)
        # Whoever comes now, comes for the next one, and leaves this one alone.
        neighbour = await register(installation, "Neighbour")
        await eventually(lambda: _is_over(installation, neighbour), what="the other one works")
        assert not await another_has_it(), "the lease is not over"
        await _let_time_pass(installation, lease / 2 + 1)
        await eventually(another_has_it, what="another worker has the run")
        run = await find_run(installation, registered.run_id)
        assert (run["status"], run["fence"], run["worker_deaths"]) == ("running", 2, 1)
        await held.release_all()
    await eventually(lambda: are_ready(installation, 2), what="the client is ready")
    run = await find_run(installation, registered.run_id)
    assert (run["status"], run["fence"]) == ("succeeded", 2)
    assert await list_attempts(installation, registered.run_id) == [
        ("acquire_database", 1, "abandoned"),
        *ALL_STEPS_DONE_AT_ONCE,
    ]


@pytest.mark.long
async def test_a_worker_told_to_stop_finishes_what_it_has_in_hand(
    opened: OpenInstallation,
    environment: Environment,
    processes: Processes,
    small_blueprint: Path,
) -> None:
    installation = await opened(blueprint=small_blueprint, lease_seconds=1)
    variables = environment(blueprint=small_blueprint, lease_seconds=1)
    in_hand = await register(installation, "In hand")
    async with hold(installation, in_hand) as held:
        process = processes.start_worker(variables)
        worker = await eventually(
            lambda: _worker_of(installation, in_hand), what="the worker has the run"
        )
        process.send_signal(signal.SIGTERM)

        async def has_heard() -> bool:
            return "Finishing what is in hand" in processes.complaints()

        await eventually(has_heard, what="the worker has heard")
        later = await register(installation, "Later")

        async def outlived_its_lease() -> bool:
            row = await fetch(
                installation,
                "select heartbeat_at > clock_timestamp() - interval '1 s' as alive, clock_timestamp()"
                " > (select started_at from runs where id = %(id)s) + interval '2.5 s' as long_ago"
                " from workers where id = %(worker)s",
                id=in_hand.run_id,
                worker=worker["id"],
            )
            return bool(row["alive"] and row["long_ago"])

        # Longer than its lease: it must renew that while it finishes.
        await eventually(outlived_its_lease, what="it works on, longer than a lease")
        assert process.poll() is None
        await held.release_all()
    assert await asyncio.to_thread(process.wait, 60) == 0
    run = await find_run(installation, in_hand.run_id)
    assert (run["status"], run["fence"], run["worker_deaths"]) == ("succeeded", 1, 0)
    assert await list_attempts(installation, in_hand.run_id) == ALL_STEPS_DONE_AT_ONCE
    assert (await find_run(installation, later.run_id))["status"] == "queued"
    assert await installation.control.fetch_all("select from workers") == [], "it has left"


@pytest.mark.long
@pytest.mark.parametrize("in_mid_run", [False, True])
async def test_a_worker_survives_the_loss_of_all_its_connections(
    opened: OpenInstallation,
    environment: Environment,
    processes: Processes,
    small_blueprint: Path,
    server: Server,
    in_mid_run: bool,
) -> None:
    installation = await opened(blueprint=small_blueprint, lease_seconds=1)
    process = processes.start_worker(environment(blueprint=small_blueprint, lease_seconds=1))
    await register(installation, "Before")
    await eventually(lambda: are_ready(installation, 1), what="the worker works")
    with server.superuser() as superuser:
        for number in range(1, 3):
            client = await register(installation, f"Client {number}", email="a@acme.com")
            async with hold(installation, client) as held:
                pid = (await fetch(installation, "select pg_backend_pid() as pid"))["pid"]
                if not in_mid_run:
                    await held.release_all()
                    await eventually(
                        lambda number=number: are_ready(installation, 1 + number),  # type: ignore[misc]
                        what="it works",
                    )
                else:
                    await eventually(lambda: _running(installation), what="it is in mid-run")
                superuser.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = %s and pid <> %s and application_name like 'ghostcrm%%'",
                    (installation.control.url.rpartition("/")[2], pid),
                )
                await held.release_all()
            await eventually(
                lambda number=number: are_ready(installation, 1 + number),  # type: ignore[misc]
                what="it is ready",
            )
        await register(installation, "After", email="b@acme.com")
        await eventually(lambda: are_ready(installation, 4), what="the worker works on")
    assert process.poll() is None, processes.complaints()
    processes_at_work = {
        row["process_id"]
        for row in await installation.control.fetch_all("select process_id from workers")
    }
    assert processes_at_work == {process.pid}


@pytest.mark.long
async def test_a_worker_does_not_wait_for_a_connection_that_is_never_given_back(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgQueuer keeps the one on which it listens when that is lost just as it is to be reset."""
    monkeypatch.setattr("ghostcrm_provisioning.queue.worker._CLOSING_SECONDS", 0.1)
    worker = installation.make_worker(standing=False)
    async with asyncio.timeout(60), worker._connections() as pool:
        await pool.acquire()


async def test_a_worker_says_goodbye_also_where_the_database_is_slow(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is slow is not one that is gone."""
    monkeypatch.setattr(
        "ghostcrm_provisioning.queue.worker._GOODBYE_TO_A_LOST_SERVER_SECONDS", 0.01
    )
    worker = installation.make_worker(standing=True)
    task = asyncio.create_task(worker.run())
    await worker.is_working.wait()
    with psycopg.connect(installation.control.url) as other:
        other.execute("select from ghostcrm.workers for update")
        worker.stop()

        async def is_leaving() -> bool:
            row = await fetch(
                installation,
                "select count(*) as waiting from pg_stat_activity where wait_event_type = 'Lock'"
                " and datname = current_database() and query like 'delete from workers%%'",
            )
            return bool(row["waiting"])

        await eventually(is_leaving, what="it is about to say goodbye")
        assert not task.done()
    await task
    assert await installation.control.fetch_all("select from workers") == []
