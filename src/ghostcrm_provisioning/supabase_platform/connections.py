"""Connections that can be hung up on: a caller that has sent a request then hears nothing at all.

ASGI has no word for it. uvicorn lets the class that speaks HTTP be replaced; ours remembers the
transport of each connection by the caller's address, which every request carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_open: dict[tuple[str, int], asyncio.Transport] = {}


class RememberedConnection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it; its transport can be found."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            _open[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            _open.pop(self.client, None)
        super().connection_lost(exc)


async def hang_up(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
) -> None:
    """Close the connection that a request came on, without a word."""
    client = scope.get("client")
    transport = _open.get(tuple(client)) if client else None
    if transport is None:
        raise ConnectionAbortedError("the reply is dropped")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
