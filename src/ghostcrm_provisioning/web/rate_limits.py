"""How many requests are taken in a minute: for each token or account, and from each address.

Counted in the memory of this process: with several processes behind one address, each one counts for
itself. The window slides, so that a new minute does not begin with a double portion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from ghostcrm_provisioning.errors import TooManyRequests

WINDOW_SECONDS = 60


@dataclass(frozen=True)
class Standing:
    """How one stands with a limit, as the headers RateLimit-Policy and RateLimit tell it."""

    name: str
    quota: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        policy = f'"{self.name}";q={self.quota};w={WINDOW_SECONDS}'
        standing = f'"{self.name}";r={self.remaining};t={self.reset_seconds}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", standing.encode())]


class RateLimit:
    """One limit. ``per_minute`` 0 is none at all."""

    def __init__(
        self, storage: MemoryStorage, name: str, per_minute: int, *, what: str = "requests"
    ) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._name = name
        self._what = what
        self._per_minute = per_minute
        self._item = RateLimitItemPerMinute(max(1, per_minute), namespace=f"{what} {name}")

    async def count(self, whose: str) -> Standing | None:
        """Count one request; None when there is no limit.

        Raises:
            TooManyRequests: the limit is reached.
        """
        if self._per_minute == 0:
            return None
        taken = await self._limiter.hit(self._item, whose)
        stats = await self._limiter.get_window_stats(self._item, whose)
        reset = max(1, math.ceil(stats.reset_time - time()))
        if not taken:
            problem = TooManyRequests(
                f"More than {self._per_minute} {self._what} a minute came from this {self._name}."
            )
            problem.wait_seconds = reset
            raise problem
        return Standing(self._name, self._per_minute, int(stats.remaining), reset)

    async def is_used_up(self, whose: str) -> bool:
        """Count one, and say whether that was one too many."""
        return self._per_minute > 0 and not await self._limiter.hit(self._item, whose)


class RateLimits:
    """All limits of this process."""

    def __init__(
        self,
        *,
        per_principal: int,
        per_address: int,
        refusals_per_address: int,
        registrations: int,
    ) -> None:
        storage = MemoryStorage()
        self.principals = RateLimit(storage, "caller", per_principal)
        self.addresses = RateLimit(storage, "address", per_address)
        self.refusals = RateLimit(storage, "refusals", refusals_per_address)
        self.registrations = RateLimit(storage, "caller", registrations, what="registrations")
