"""Waiting for a condition, with a deadline; nothing here sleeps and hopes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, sleep
from typing import Any, TypeVar

import psycopg

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


def enter(url: str, *, within: float = 60.0) -> psycopg.Connection[Any]:
    """A connection for which there is room: sessions count for a limit until the server has ended them,
    which is some time after they were closed here."""
    until = monotonic() + within
    while True:
        try:
            return psycopg.connect(url)
        except psycopg.OperationalError as refused:
            if "too many connections" not in str(refused) or monotonic() > until:
                raise
            sleep(_BETWEEN_LOOKS_SECONDS)
