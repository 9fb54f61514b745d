"""The statistics of an installation, as pages, the API and metrics read them: however many ask, the control
database is asked once in two seconds at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.statistics.failures import Failures, read_failures
from ghostcrm_provisioning.statistics.overview import Overview, read_overview
from ghostcrm_provisioning.statistics.shared import SHORTEST_LIFETIME_SECONDS, Shared
from ghostcrm_provisioning.statistics.time_to_ready import (
    STATISTICS,
    TimeToReady,
    Window,
    read_time_to_ready,
)

Reading = TypeVar("Reading")


class Statistics:
    """One of them for each process.

    Args:
        lease_seconds: a worker that was silent for longer is not alive.
        concurrency_per_server: how many runs are carried out on one server at the same time.
        shortest_lifetime_seconds: how long a reading is good for, at least.
    """

    def __init__(
        self,
        control: ControlDatabase,
        *,
        lease_seconds: float,
        concurrency_per_server: int,
        shortest_lifetime_seconds: float = SHORTEST_LIFETIME_SECONDS,
    ) -> None:
        self._control = control

        def shared(read: Callable[[Connection], Awaitable[Reading]]) -> Shared[Reading]:
            return Shared(
                lambda: self._in_one_moment(read),
                shortest_lifetime_seconds=shortest_lifetime_seconds,
            )

        self._overview: Shared[Overview] = shared(
            partial(
                read_overview,
                lease_seconds=lease_seconds,
                concurrency_per_server=concurrency_per_server,
            )
        )
        self._time_to_ready: dict[Window, Shared[TimeToReady]] = {
            window: shared(partial(read_time_to_ready, window=window)) for window in Window
        }
        self._failures: dict[Window, Shared[Failures]] = {
            window: shared(partial(read_failures, window=window)) for window in Window
        }

    async def overview(self) -> Overview:
        """What needs attention, clients by status, queue, workers, servers, recent operations."""
        return await self._overview.get()

    async def time_to_ready(self, window: Window = Window.DAY) -> TimeToReady:
        """How long registrations took, over time."""
        return await self._time_to_ready[window].get()

    async def failures(self, window: Window = Window.DAY) -> Failures:
        """Why runs have failed."""
        return await self._failures[window].get()

    async def _in_one_moment(self, read: Callable[[Connection], Awaitable[Reading]]) -> Reading:
        async with self._control.transaction() as connection:
            await connection.execute(STATISTICS["see_one_moment"])
            return await read(connection)
