"""The budget of requests: so many in a minute for each token, endpoint, and project or organization.

Kept in this process: a platform is one process. As on Supabase, every answer says what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from time import monotonic

_WINDOW_SECONDS = 60.0
_LARGEST_TABLE = 10_000


@dataclass(frozen=True)
class Left:
    """What is left of a budget; ``reset`` in seconds."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool

    @property
    def headers(self) -> dict[str, str]:
        """As Supabase sends them."""
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }
        return headers | ({"Retry-After": str(self.reset)} if self.exceeded else {})


@dataclass
class RateLimit:
    """``per_minute`` requests for each key."""

    per_minute: int = 120
    _windows: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)

    def spend(self, *key: str) -> Left:
        """Take one from the budget of ``key``."""
        now = monotonic()
        began, spent = self._windows.get(key, (now, 0))
        if now - began >= _WINDOW_SECONDS:
            began, spent = now, 0
        if key not in self._windows and len(self._windows) >= _LARGEST_TABLE:
            self._windows = {
                known: window
                for known, window in self._windows.items()
                if now - window[0] < _WINDOW_SECONDS
            }
        exceeded = spent >= self.per_minute
        if not exceeded:
            spent += 1
        self._windows[key] = (began, spent)
        reset = max(1, ceil(began + _WINDOW_SECONDS - now))
        return Left(self.per_minute, self.per_minute - spent, reset, exceeded)
