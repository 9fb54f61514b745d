"""Connections before there is a request on them: none may wait for ever, and not too many are kept.

uvicorn closes a connection on which nothing comes after an answer, but waits without end for the first
request, and for one of which only the beginning came. Whoever opens a thousand such connections takes
all file descriptors of the process, and with them its connections to the databases.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0
# For so long a connection may be idle between two requests. uvicorn's own five seconds are also those after
# which httpx gives one up: what was sent at that moment was lost.
IDLE_SECONDS = 15
_UNLIMITED = 1 << 20


class Connection(H11Protocol):
    """A connection that is closed when it has had no whole head of a request for so long."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most = _most_connections()
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_clock()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """The clock runs while no request is worked on: how much of one has come does not matter."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_clock()
        elif self._clock is None and not self.transport.is_closing():
            self._clock = self.loop.call_later(HEAD_SECONDS, self._close)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _close(self) -> None:
        self._clock = None
        self.transport.close()


def _most_connections() -> int:
    """Half of what the process may have open: the rest is for databases and files."""
    try:
        import resource  # noqa: PLC0415 - there is none on Windows
    except ImportError:  # Windows has no such limit
        return _UNLIMITED
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else max(32, soft // 2)
