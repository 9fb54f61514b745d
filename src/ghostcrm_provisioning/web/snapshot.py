"""What many look at and one reading answers: callers that come at the same time share it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_Seen = TypeVar("_Seen")


class Snapshot(Generic[_Seen]):
    """Reads one at a time, however many ask; what a caller gets was read after it asked."""

    def __init__(self, read: Callable[[], Awaitable[_Seen]]) -> None:
        self._read = read
        self._running: asyncio.Task[_Seen] | None = None
        self._next: asyncio.Task[_Seen] | None = None

    async def fresh(self) -> _Seen:
        """What is so now. Raises whatever the reading raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._read_after(self._running))
            # Should nobody be left who waits for it, nobody misses it.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        # One who stops waiting does not take it away from the others.
        return await asyncio.shield(self._next)

    async def _read_after(self, running: asyncio.Task[_Seen] | None) -> _Seen:
        if running is not None:
            await asyncio.wait({running})
        # From here on it may be too old for those who come.
        self._running, self._next = self._next, None
        return await self._read()
