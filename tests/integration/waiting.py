"""Waiting for a condition, with a deadline; nothing here sleeps and hopes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

_Seen = TypeVar("_Seen")
_BETWEEN_LOOKS_SECONDS = 0.02


async def eventually(
    look: Callable[[], Awaitable[_Seen | None]], *, what: str, within: float = 60.0
) -> _Seen:
    """What ``look`` returns as soon as it is true."""
    until = monotonic() + within
    while True:
        seen = await look()
        if seen:
            return seen
        assert monotonic() < until, f"not within {within:g} s: {what} (last seen: {seen!r})"
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
