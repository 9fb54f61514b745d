"""What the control database announces of runs, heard over one connection and passed on to all who watch.

However many pages and streams are open, this process listens once: the connection is opened for the
first who watches and closed after the last. Who is woken looks for himself; an announcement carries no
news, so a lost one costs a delay and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import TypeVar
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from ghostcrm_provisioning.control_database.database import connection_options
from ghostcrm_provisioning.provisioning_log import get_logger

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 15.0
# Whoever waits for something looks so often even when nothing was announced.
_LONGEST_SILENCE_SECONDS = 2.0

_Seen = TypeVar("_Seen")


class Watcher:
    """One who watches a run, or everything. Several announcements that come while he is busy wake him
    once."""

    def __init__(self, about: UUID | None) -> None:
        self._about = None if about is None else str(about)
        self._news = asyncio.Event()
        self.is_over = False

    def hear(self, about: str | None) -> None:
        """An announcement about that run (or client); None: anything may have happened."""
        if about is None or self._about is None or about == self._about:
            self._news.set()

    def end(self) -> None:
        """The process stops: whoever is waiting goes home."""
        self.is_over = True
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Until something was announced (True), or for so long (False)."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Announcements:
    """The one listener of this process.

    Args:
        url: of the control database.
        leaving: set when the process is about to end; everybody is sent home then.
    """

    def __init__(self, url: str, *, leaving: asyncio.Event) -> None:
        self._url = url
        self._leaving = leaving
        self._watchers: set[Watcher] = set()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @asynccontextmanager
    async def watching(self, about: UUID | None = None) -> AsyncIterator[Watcher]:
        """Hear of one run (or of a client's verdicts), or of everything.

        It is listened from now on, or as soon as the connection stands: the first look is to be made
        after :meth:`Watcher.wait` has returned once, or else to be repeated.
        """
        watcher = Watcher(about)
        if self._leaving.is_set():
            watcher.end()
        self._watchers.add(watcher)
        if not self._tasks:
            self._tasks = (
                asyncio.create_task(self._listen()),
                asyncio.create_task(self._send_home()),
            )
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                await self._stop_listening()

    async def wait_until(
        self,
        look: Callable[[], Awaitable[_Seen | None]],
        *,
        about: UUID | None,
        seconds: float,
    ) -> _Seen | None:
        """What ``look`` returns as soon as it is something; None when the time is up, or this process
        stops."""
        until = monotonic() + seconds
        async with self.watching(about) as watcher:
            while (seen := await look()) is None:
                left = until - monotonic()
                if left <= 0 or watcher.is_over:
                    return None
                await watcher.wait(min(left, _LONGEST_SILENCE_SECONDS))
            return seen

    @property
    def watchers(self) -> int:
        """How many are watching at present."""
        return len(self._watchers)

    async def _stop_listening(self) -> None:
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _send_home(self) -> None:
        await self._leaving.wait()
        for watcher in self._watchers:
            watcher.end()

    async def _listen(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                connection = await AsyncConnection.connect(
                    connection_options(self._url, application_name="ghostcrm announcements"),
                    autocommit=True,
                )
                async with connection:
                    await connection.execute("listen ghostcrm_runs")
                    wait_seconds = _FIRST_WAIT_SECONDS
                    # What was announced while nobody listened.
                    self._tell(None)
                    async for announced in connection.notifies():
                        self._tell(announced.payload.partition(" ")[0])
            except psycopg.Error as problem:
                get_logger("announcements").warning(
                    "announcements_lost",
                    waitSeconds=wait_seconds,
                    error={"code": problem.sqlstate or "connection_lost"},
                )
            # Those who watch look from time to time meanwhile, and know that they are behind.
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)

    def _tell(self, about: str | None) -> None:
        for watcher in self._watchers:
            watcher.hear(about)
