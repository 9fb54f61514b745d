"""Follows a run until it ends, and lends a hand when nobody else works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from psycopg import AsyncConnection

from ghostcrm_provisioning.clients.run import RUNS, Run, RunStep, find_run, list_steps
from ghostcrm_provisioning.control_database.database import connection_options
from ghostcrm_provisioning.errors import StillRunning
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.wiring import Installation

if TYPE_CHECKING:
    from ghostcrm_provisioning.queue.worker import Worker

OnChange = Callable[[Run, list[RunStep]], None]

# How often to look even when nothing was announced: times tick on, an announcement may be lost.
_LONGEST_SILENCE_SECONDS = 0.5
# How long a worker of ours may take to leave when something went wrong.
_SHORT_PATIENCE_SECONDS = 10.0


async def follow(
    installation: Installation,
    run_id: UUID,
    *,
    timeout_seconds: float | None = None,
    on_change: OnChange | None = None,
    lend_a_hand: bool = True,
) -> Run:
    """Wait until the run has ended.

    When no standing worker is alive (or the last one dies meanwhile), the work is done by a worker
    inside this process, which leaves when the run has ended; unless ``lend_a_hand`` is False.

    Raises:
        StillRunning: it has not ended within ``timeout_seconds``; it goes on.
    """
    until = None if timeout_seconds is None else monotonic() + timeout_seconds
    async with (
        _announcements(installation) as wait_for_announcement,
        _helper(installation) as help_out,
    ):
        while True:
            async with installation.control.connection() as connection:
                run = await find_run(connection, run_id)
                steps = await list_steps(connection, run_id)
            if on_change is not None:
                on_change(run, steps)
            if run.is_finished:
                return run
            if until is not None and monotonic() > until:
                raise StillRunning(
                    f"It has not ended within {timeout_seconds:g} s; it goes on.",
                    next_step=f"Follow it with `ghostcrm clients explain {run.client_id}`.",
                )
            if lend_a_hand:
                await help_out()
            await wait_for_announcement(run_id, only_runs=on_change is None)


class _Wait(Protocol):
    async def __call__(self, run_id: UUID, *, only_runs: bool) -> None: ...


@asynccontextmanager
async def _announcements(installation: Installation) -> AsyncIterator[_Wait]:
    with translating("the control database"):
        connection = await AsyncConnection.connect(
            connection_options(installation.control.url, application_name="ghostcrm follow"),
            autocommit=True,
        )
        async with connection:
            await connection.execute("listen ghostcrm_runs")

            async def wait(run_id: UUID, *, only_runs: bool) -> None:
                """Until something was announced of that run, or it has been silent for long."""
                until = monotonic() + _LONGEST_SILENCE_SECONDS
                while (left := until - monotonic()) > 0:
                    async for announced in connection.notifies(timeout=left, stop_after=1):
                        about, what, _ = announced.payload.split()
                        if about == str(run_id) and (what == "run" or not only_runs):
                            return

            yield wait


@asynccontextmanager
async def working(installation: Installation) -> AsyncIterator[None]:
    """A worker inside this process for as long as the block runs, unless a standing one is alive."""
    if await _somebody_stands(installation):
        yield
        return
    worker = installation.make_worker(standing=False)
    task = asyncio.create_task(worker.run())
    try:
        working_ = asyncio.create_task(worker.is_working.wait())
        await asyncio.wait({working_, task}, return_when=asyncio.FIRST_COMPLETED)
        working_.cancel()
        yield
    except BaseException:
        await _leave(worker, task, patience_seconds=_SHORT_PATIENCE_SECONDS)
        raise
    else:
        await _leave(worker, task, patience_seconds=installation.settings.step_deadline_seconds)


async def _leave(worker: Worker, task: asyncio.Task[None], *, patience_seconds: float) -> None:
    """Let the worker finish what it has in hand; but not for ever, should the database be gone. What
    it then leaves behind is taken up by another."""
    worker.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(task, patience_seconds)


@asynccontextmanager
async def _helper(installation: Installation) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Yields a function that sees to it that somebody works."""
    worker = installation.make_worker(standing=False)
    task: asyncio.Task[None] | None = None
    looked_at = 0.0

    async def help_out() -> None:
        nonlocal task, looked_at
        if task is not None:
            if task.done():
                task.result()
            return
        if monotonic() - looked_at < 1.0:
            return
        looked_at = monotonic()
        if not await _somebody_stands(installation):
            task = asyncio.create_task(worker.run())

    patience_seconds = _SHORT_PATIENCE_SECONDS
    try:
        yield help_out
        patience_seconds = installation.settings.step_deadline_seconds
    finally:
        if task is not None:
            await _leave(worker, task, patience_seconds=patience_seconds)


async def _somebody_stands(installation: Installation) -> bool:
    """Whether a worker is alive that others may count on."""
    row = await installation.control.fetch_one(
        RUNS["count_alive_workers"], lease_seconds=installation.settings.lease_seconds
    )
    return row is not None and bool(row["standing"])
