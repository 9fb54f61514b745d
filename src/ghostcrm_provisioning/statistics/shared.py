"""One reading for all who ask: however many pages look at the same numbers, the control database is asked
once in a while. What the numbers are is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

Reading = TypeVar("Reading")

SHORTEST_LIFETIME_SECONDS = 2.0
# What takes long is read less often: it never takes more than one part in fifty of the time.
_LIFETIMES_PER_DURATION = 50
# … as long as that does not make it old: one slow moment must not hide for minutes what happened since.
LONGEST_LIFETIME_SECONDS = 10.0


class Shared(Generic[Reading]):
    """Keeps what ``read`` returned for two seconds, or for fifty times as long as reading it took, but for
    ten seconds at most.

    Those who ask meanwhile get the same. Those who ask while it is being read wait for that one reading.
    An error is theirs who were waiting for it; whoever asks next tries again.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Reading]],
        *,
        shortest_lifetime_seconds: float = SHORTEST_LIFETIME_SECONDS,
    ) -> None:
        self._read = read
        self._shortest_lifetime = shortest_lifetime_seconds
        self._latest: Reading | None = None
        self._good_until = 0.0
        self._turn = asyncio.Lock()

    async def get(self) -> Reading:
        """The latest reading; a new one when that is too old."""
        if (fresh := self._fresh()) is not None:
            return fresh
        async with self._turn:
            if (fresh := self._fresh()) is not None:
                return fresh
            began = monotonic()
            self._latest = await self._read()
            ended = monotonic()
            rare = _LIFETIMES_PER_DURATION * (ended - began)
            self._good_until = ended + max(
                self._shortest_lifetime, min(rare, LONGEST_LIFETIME_SECONDS)
            )
            return self._latest

    def _fresh(self) -> Reading | None:
        return self._latest if monotonic() < self._good_until else None
