"""Secrets on their way to the one page that shows them, once, to the one session that asked for them.

A form is answered with a redirect, so that it is not sent again when the page is reloaded; what was made
must not stand in an address, a cookie or the database. It waits here, in this process, for a few minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from fastapi import FastAPI, Request

_SECONDS = 300.0
_MOST = 1000


@dataclass(frozen=True)
class Once:
    """A secret, and what it is."""

    title: str
    secret: str = field(repr=False)


class ShownOnce:
    """The secrets that wait to be shown."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[UUID, UUID], tuple[float, Once]] = {}

    def put(self, session_id: UUID, about: UUID, once: Once) -> None:
        """Have it shown to that session on the page of ``about`` (a client)."""
        now = monotonic()
        self._waiting = {key: kept for key, kept in self._waiting.items() if kept[0] > now}
        while len(self._waiting) >= _MOST:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[session_id, about] = (now + _SECONDS, once)

    def take(self, session_id: UUID, about: UUID) -> Once | None:
        """What is to be shown there; afterwards it is gone."""
        until, once = self._waiting.pop((session_id, about), (0.0, None))
        return once if until > monotonic() else None


def shown_once_of(request: Request) -> ShownOnce:
    """Those of the application that this request came to."""
    found = request.app.state.shown_once
    assert isinstance(found, ShownOnce)
    return found


def add_shown_once(application: FastAPI) -> None:
    """Give the application a place for them."""
    application.state.shown_once = ShownOnce()
