"""Wherever a worker dies while it suspends, resumes or deletes a client, another one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.errors import Superseded, ToldToWait
from ghostcrm_provisioning.provisioning.delete_client import DELETE_CLIENT
from ghostcrm_provisioning.provisioning.resume_client import RESUME_CLIENT
from ghostcrm_provisioning.provisioning.suspend_client import SUSPEND_CLIENT
from ghostcrm_provisioning.provisioning.work import Work, gather_work
from ghostcrm_provisioning.provisioning.workflow import Workflow
from tests.conftest import OpenInstallation
from tests.integration.control import find_run
from tests.integration.processes import Processes
from tests.integration.waiting import eventually
from tests.lifecycle.lives import Life, is_let_in

pytestmark = pytest.mark.long


@asynccontextmanager
async def taken_up(life: Life, run_id: UUID, workflow: Workflow) -> AsyncIterator[Work]:
    """A run in the hands of a worker of its own."""
    installation = life.installation
    async with installation.control.connection() as own:
        held = await HeldRun.take_up(installation.control, own, run_id, uuid4())
        assert held is not None
        client = await life.client()
        work = await gather_work(
            held,
            client,
            sealer=installation.sealer,
            blueprint=read_blueprint(client.blueprint) if workflow.reads_blueprint else None,
            provider=await installation.providers.of_server(client.server_id),
            installation_id=installation.id,
            around=installation.provisioner.around,
        )
        try:
            yield work
        finally:
            await work.close()


async def dies(life: Life, run_id: UUID, workflow: Workflow, after: int) -> None:
    """A worker takes it up, gets as far as the make of step ``after`` (from 0), and is never heard of again:
    that it was done, it does not say any more."""
    async with taken_up(life, run_id, workflow) as work:
        finished = None
        for number, step in enumerate(workflow.steps[: after + 1], start=1):
            await work.held.start_step(number, finished=finished)
            if not (seen := await step.observe(work)).holds:
                await step.make(work)
                seen = await step.observe(work) if number <= after else seen
            finished = (number, seen.seen)


async def test_wherever_a_worker_dies_another_one_goes_on(on_postgres: Life) -> None:
    life = on_postgres
    for after in range(3):
        accepted = await life.ask_suspend()
        assert accepted.run_id is not None
        await dies(life, accepted.run_id, SUSPEND_CLIENT, after)
        assert (await life.carry_out(accepted))["status"] == "succeeded", after
        assert await life.stands() == ("suspended", "suspended")
        assert not await is_let_in(life.url)

        accepted = await life.ask_resume()
        assert accepted.run_id is not None
        await dies(life, accepted.run_id, RESUME_CLIENT, after)
        assert (await life.carry_out(accepted))["status"] == "succeeded", after
        assert await life.stands() == ("ready", "ready")
        assert await is_let_in(life.url)
    audited = await life.audited()
    assert [audited.count(f"client.{what}") for what in ("suspended", "resumed")] == [3, 3]


@pytest.mark.parametrize("after", range(3))
async def test_wherever_it_dies_a_deletion_comes_to_its_end(on_postgres: Life, after: int) -> None:
    accepted = await on_postgres.ask_delete()
    assert accepted.run_id is not None
    await dies(on_postgres, accepted.run_id, DELETE_CLIENT, after)
    assert (await on_postgres.carry_out(accepted))["status"] == "succeeded"
    assert await on_postgres.stands() == ("deleted", "deleted")
    assert on_postgres.remains() == []
    assert len(await on_postgres.exports()) == 1


@pytest.mark.parametrize("after", range(3))
async def test_at_the_platform_too(on_supabase: Life, after: int) -> None:
    life = on_supabase
    for ask, workflow, stands in (
        (life.ask_suspend, SUSPEND_CLIENT, "suspended"),
        (life.ask_resume, RESUME_CLIENT, "ready"),
        (life.ask_delete, DELETE_CLIENT, "deleted"),
    ):
        accepted = await ask()
        assert accepted.run_id is not None
        with suppress(ToldToWait):  # and then it dies
            await dies(life, accepted.run_id, workflow, after)
        run = await life.carry_out(accepted)
        assert run["status"] == "succeeded", run["error"]
        assert await life.stands() == (stands, stands)
    assert life.remains() == []


async def test_a_worker_that_was_overtaken_closes_nothing(on_postgres: Life) -> None:
    accepted = await on_postgres.ask_suspend(with_export=False)
    assert accepted.run_id is not None
    async with taken_up(on_postgres, accepted.run_id, SUSPEND_CLIENT) as zombie:
        await zombie.held.start_step(1)
        await on_postgres.carry_out(accepted)
        await on_postgres.resume()
        for step in SUSPEND_CLIENT.steps[1:]:
            with pytest.raises(Superseded):
                await step.make(zombie)
    assert await on_postgres.stands() == ("ready", "ready")
    assert await is_let_in(on_postgres.url)


@pytest.mark.parametrize("what", ["suspend", "delete"])
async def test_a_worker_that_is_killed_while_it_exports_is_replaced(
    on_postgres: Life,
    opened: OpenInstallation,
    environment: Callable[..., dict[str, str]],
    processes: Processes,
    what: str,
) -> None:
    life = on_postgres
    variables = environment(blueprint=life.installation.settings.blueprint, lease_seconds=1)
    accepted = await (life.ask_suspend() if what == "suspend" else life.ask_delete())
    assert accepted.run_id is not None
    with life.server.superuser(life.database) as holding, holding.transaction():
        holding.execute("lock table public.things in access exclusive mode")
        worker = processes.start_worker(variables)
        exporting = psutil.Process(worker.pid)

        async def waits_for_the_table() -> list[dict[str, object]]:
            with life.server.superuser() as connection:
                return connection.execute(
                    "select from pg_stat_activity where datname = %s and wait_event_type = 'Lock'",
                    (life.database,),
                ).fetchall()

        await eventually(waits_for_the_table, what="the export waits for a table")
        password = life.url.split("@")[0].split(":")[-1]
        for process in (exporting, *exporting.children(recursive=True)):
            assert password not in " ".join(process.cmdline())
        worker.kill()
        await asyncio.to_thread(worker.wait)
    processes.start_worker(variables)
    run_id = accepted.run_id

    async def is_done() -> bool:
        return bool((await find_run(life.installation, run_id))["status"] == "succeeded")

    await eventually(is_done, what="another worker has done it")
    status = "suspended" if what == "suspend" else "deleted"
    assert await life.stands() == (status, status)
    (export,) = await life.exports()
    whole = {path.name for path in Path(export["manifest_path"]).parent.glob("*Z.*")}
    assert len(whole) == 3, "of an export that was not finished, nothing has a name"


@pytest.mark.parametrize("what", ["suspend", "delete"])
async def test_a_worker_that_is_killed_while_it_closes_is_replaced(
    on_postgres: Life,
    environment: Callable[..., dict[str, str]],
    processes: Processes,
    what: str,
) -> None:
    life = on_postgres
    variables = environment(blueprint=life.installation.settings.blueprint, lease_seconds=1)
    accepted = await (life.ask_suspend() if what == "suspend" else life.ask_delete())
    assert accepted.run_id is not None
    database = (await life.client()).database_name
    with life.server.superuser() as holding:
        own = life.installation.control.url.rsplit("/", 1)[1]
        with life.server.superuser(own) as same_database:
            same_database.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (database,))
            worker = processes.start_worker(variables)

            async def waits_for_the_logins() -> list[dict[str, object]]:
                return holding.execute(
                    "select from pg_locks where locktype = 'advisory' and not granted"
                    " and database = (select oid from pg_database where datname = %s)",
                    (own,),
                ).fetchall()

            await eventually(waits_for_the_logins, what="the worker waits for the logins")
            worker.kill()
            await asyncio.to_thread(worker.wait)
    processes.start_worker(variables)
    run_id = accepted.run_id

    async def is_done() -> bool:
        return bool((await find_run(life.installation, run_id))["status"] == "succeeded")

    await eventually(is_done, what="another worker has done it")
    status = "suspended" if what == "suspend" else "deleted"
    assert await life.stands() == (status, status)
    assert not await is_let_in(life.url)
