"""A worker that lost its run and does not know it: a zombie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.errors import DatabaseBusy, Superseded
from ghostcrm_provisioning.provisioning.provision_client import PROVISION_CLIENT
from ghostcrm_provisioning.provisioning.work import Work, gather_work
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation, Server
from tests.integration.control import (
    Registered,
    databases_named,
    fetch,
    find_run,
    list_attempts,
    register,
    whole_contents,
)
from tests.integration.small_blueprint import plan_that_fails_at_first, write_small_blueprint

REPETITIONS = 20


@asynccontextmanager
async def taken_up(installation: Installation, run_id: UUID) -> AsyncIterator[HeldRun]:
    """The run in the hands of a worker of its own."""
    async with installation.control.connection() as own:
        held = await HeldRun.take_up(installation.control, own, run_id, uuid4())
        assert held is not None
        yield held


async def start_step(zombie: HeldRun) -> None:
    await zombie.start_step(2)


async def start_step_and_finish_another(zombie: HeldRun) -> None:
    await zombie.start_step(2, finished=(1, "seen by a zombie"))


async def succeed(zombie: HeldRun) -> None:
    await zombie.succeed(finished=None)


async def succeed_and_finish_a_step(zombie: HeldRun) -> None:
    await zombie.succeed(finished=(1, "seen by a zombie"))


async def postpone(zombie: HeldRun) -> None:
    await zombie.postpone(1, DatabaseBusy(), wait_seconds=1, next_attempt=2, outcome="told_to_wait")


async def fail(zombie: HeldRun) -> None:
    async with zombie.failing(1, DatabaseBusy()) as connection:
        await connection.execute("update clients set name = 'written by a zombie'")


async def fail_without_a_step(zombie: HeldRun) -> None:
    async with zombie.failing(None, DatabaseBusy()):
        pass


async def write_something(zombie: HeldRun) -> None:
    async with zombie.holding() as connection:
        await connection.execute("update clients set name = 'written by a zombie'")
        await connection.execute("delete from ghostcrm_queue.jobs")


WRITES: list[Callable[[HeldRun], Awaitable[None]]] = [
    start_step,
    start_step_and_finish_another,
    succeed,
    succeed_and_finish_a_step,
    postpone,
    fail,
    fail_without_a_step,
    write_something,
]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("successor", ["at work", "done", "failed", "waiting"])
async def test_a_zombie_is_told_so_at_every_write_and_changes_nothing(
    installation: Installation, write: Callable[[HeldRun], Awaitable[None]], successor: str
) -> None:
    registered = await register(installation)
    async with taken_up(installation, registered.run_id) as zombie:
        await zombie.start_step(1)
        async with taken_up(installation, registered.run_id) as held:
            await held.start_step(1)
            if successor == "done":
                await held.succeed(finished=(1, "seen by the successor"))
            elif successor == "failed":
                async with held.failing(1, DatabaseBusy()):
                    pass
            elif successor == "waiting":
                await held.postpone(
                    1, DatabaseBusy(), wait_seconds=60, next_attempt=2, outcome="failed"
                )
            before = await whole_contents(installation)
            with pytest.raises(Superseded):
                await write(zombie)
            assert await whole_contents(installation) == before


async def test_a_zombie_that_commits_while_its_run_is_taken_over_is_first_or_nothing(
    installation: Installation,
) -> None:
    """The one that holds the run's row makes the other wait."""
    for number in range(10):
        registered = await register(installation, f"Client {number}")
        async with taken_up(installation, registered.run_id) as first:

            async def take_over(run_id: UUID = registered.run_id) -> int:
                async with taken_up(installation, run_id) as second:
                    return second.run.fence

            outcomes = await asyncio.gather(
                first.start_step(1), take_over(), return_exceptions=True
            )
            assert outcomes[1] == 2
            attempts = await list_attempts(installation, registered.run_id)
            if isinstance(outcomes[0], BaseException):
                assert isinstance(outcomes[0], Superseded)
                assert attempts == []
            else:
                assert attempts == [("acquire_database", 1, "abandoned")]


@asynccontextmanager
async def work_of(
    installation: Installation, held: HeldRun, registered: Registered
) -> AsyncIterator[Work]:
    async with installation.control.connection() as connection:
        client = await find_client(connection, registered.client_id)
    work = await gather_work(
        held,
        client,
        sealer=installation.sealer,
        blueprint=read_blueprint(client.blueprint),
        provider=await installation.providers.home(),
        installation_id=installation.id,
        around=installation.provisioner.around,
    )
    try:
        yield work
    finally:
        await work.close()


@pytest.mark.parametrize("step", PROVISION_CLIENT.steps, ids=lambda step: step.name)
async def test_no_step_of_a_zombie_changes_what_its_successor_made(
    opened: OpenInstallation, tmp_path: Path, server: Server, step: object
) -> None:
    blueprint = write_small_blueprint(tmp_path / "with plan", _002_plan=plan_that_fails_at_first(0))
    installation = await opened(blueprint=blueprint)
    registered = await register(installation)
    async with (
        taken_up(installation, registered.run_id) as zombie,
        work_of(installation, zombie, registered) as work,
    ):
        assert await installation.provisioner.carry_out(registered.run_id, uuid4()) is None
        before = await whole_contents(installation), inside(server, registered.database)
        chosen = next(each for each in PROVISION_CLIENT.steps if each is step)
        for act in (chosen.observe, chosen.make, chosen.observe):
            with suppress(Superseded):
                await act(work)
        after = await whole_contents(installation), inside(server, registered.database)
    assert after == before


def inside(server: Server, database: str) -> list[dict[str, object]]:
    """What a client database has in it, and how it stands on its server."""
    statements = (
        "select oid::text, datallowconn, datacl::text from pg_database"
        " where datname = current_database()",
        "select rolname, rolconnlimit, rolcanlogin, rolconfig from pg_roles"
        " where rolname like current_database() || '%%' order by 1",
        "select to_jsonb(t) from auth.users t",
        "select to_jsonb(t) from auth.identities t",
        "select to_jsonb(t) from ghostcrm_provisioning.stamp t",
        "select to_jsonb(t) from supabase_migrations.schema_migrations t order by version",
    )
    with server.superuser(database) as connection:
        rows: list[dict[str, object]] = []
        for statement in statements:
            rows += connection.execute(statement.replace("%%", "%").encode()).fetchall()
        return rows


@pytest.mark.long
async def test_two_workers_on_the_same_run_end_with_one_of_everything(
    opened: OpenInstallation, small_blueprint: Path, server: Server
) -> None:
    installation = await opened(blueprint=small_blueprint, max_attempts=3)
    for number in range(REPETITIONS):
        registered = await register(installation, f"Client {number}")

        async def carry_out(run_id: UUID = registered.run_id) -> None:
            """As a worker does: comes back when it has to wait."""
            wait: float | None = 0
            while wait is not None:
                await asyncio.sleep(wait)
                wait = await installation.provisioner.carry_out(run_id, uuid4())

        await asyncio.gather(carry_out(), carry_out())
        run = await find_run(installation, registered.run_id)
        assert (run["status"], run["client_status"]) == ("succeeded", "ready"), run["error"]
        assert await databases_named(installation, registered.database) == 1
        with server.superuser(registered.database) as connection:
            assert len(connection.execute("select from auth.users").fetchall()) == 1
            assert len(connection.execute("select from auth.identities").fetchall()) == 1
        attempts = await list_attempts(installation, registered.run_id)
        assert [name for name, _, outcome in attempts if outcome == "done"] == [
            *PROVISION_CLIENT.step_names
        ]
        assert {attempt for _, attempt, _ in attempts} == {1}, "none was in the other's way"
    row = await fetch(
        installation,
        "select count(*) as all, count(distinct client_id) as each from audit_log"
        " where action = 'client.ready'",
    )
    assert (row["all"], row["each"]) == (REPETITIONS, REPETITIONS), "ready once each"


async def test_nobody_sees_a_ready_client_whose_run_has_not_succeeded(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    """Nor the other way round: whenever something is committed, both are so or neither is."""
    installation = await opened(blueprint=small_blueprint)
    await installation.control.execute(
        "create function compare() returns trigger language plpgsql as $$ begin"
        " if exists (select from ghostcrm.clients c join ghostcrm.runs r on r.client_id = c.id"
        " where (c.status = 'ready') <> (r.status = 'succeeded'))"
        " then raise exception 'one without the other'; end if; return null; end $$"
    )
    for table in ("clients", "runs"):
        async with installation.control.connection() as connection:
            await connection.execute(
                sql.SQL(
                    "create constraint trigger compare after update on {} deferrable"
                    " initially deferred for each row execute function compare()"
                ).format(sql.Identifier(table))
            )
    registered = await register(installation)
    assert await installation.provisioner.carry_out(registered.run_id, uuid4()) is None
    run = await find_run(installation, registered.run_id)
    assert (run["status"], run["client_status"]) == ("succeeded", "ready"), run["error"]


@pytest.mark.long
@pytest.mark.new_installation
async def test_two_workers_build_a_template_and_a_database_at_once(
    opened: OpenInstallation, server: Server
) -> None:
    """With the real blueprint, from nothing: as after a restart of everything."""
    installation = await opened()
    registered = await register(installation)

    async def carry_out() -> None:
        """As a worker does: comes back when it has to wait, for the builder of the template, say."""
        wait: float | None = 0
        while wait is not None:
            await asyncio.sleep(wait)
            wait = await installation.provisioner.carry_out(registered.run_id, uuid4())

    await asyncio.gather(*(carry_out() for _ in range(4)))
    run = await find_run(installation, registered.run_id)
    assert run["client_status"] == "ready", run["error"]
    with psycopg.connect(server.running.url(registered.database)) as connection:
        row = connection.execute(
            "select (select count(*) from auth.users), (select count(*) from public.profiles)"
        ).fetchone()
    assert row == (1, 1)
