"""Where the time of a request goes: in our own code, or in PostgreSQL; and in which functions.

The application is called directly, without a network in between, and one request after the other: what its
process computes meanwhile is our own code with the libraries below it, and the rest is waiting for PostgreSQL.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any
from urllib.parse import urlsplit

from ghostcrm_provisioning.errors import PostconditionNotMet

Message = MutableMapping[str, Any]
Application = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]
_WARM_UP = 30


@dataclass(frozen=True)
class Function:
    """One function of the profile, with the times of one request, in ms: of itself, and with all that it
    calls."""

    name: str
    own_ms: float
    total_ms: float

    def as_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ownMs": round(self.own_ms, 3),
            "totalMs": round(self.total_ms, 3),
        }


@dataclass(frozen=True)
class Profile:
    """One request, in ms; medians."""

    path: str
    requests: int
    wall_ms: float
    own_code_ms: float
    functions: list[Function]

    @property
    def postgres_ms(self) -> float:
        return max(0.0, self.wall_ms - self.own_code_ms)

    def as_document(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "requests": self.requests,
            "wallMs": round(self.wall_ms, 2),
            "ownCodeMs": round(self.own_code_ms, 2),
            "postgresMs": round(self.postgres_ms, 2),
            "functions": [function.as_document() for function in self.functions],
        }


async def profile_requests(
    application: Application,
    path: str,
    headers: dict[str, str],
    *,
    requests: int,
    functions: int = 15,
) -> Profile:
    """Ask for ``path`` again and again; first for the times, then under the profiler for the functions."""
    for _ in range(_WARM_UP):
        await _ask(application, path, headers)
    walls, own = [], []
    for _ in range(requests):
        wall, computing = perf_counter(), process_time()
        await _ask(application, path, headers)
        own.append((process_time() - computing) * 1000)
        walls.append((perf_counter() - wall) * 1000)
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        for _ in range(requests):
            await _ask(application, path, headers)
    finally:
        profiler.disable()
    return Profile(
        path,
        requests,
        median(walls),
        median(own),
        _dearest(profiler, requests)[:functions],
    )


def _dearest(profiler: cProfile.Profile, requests: int) -> list[Function]:
    found = []
    for (file, _line, name), (_, _, own, total, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        where = "" if file == "~" else f"{Path(file).parent.name}/{Path(file).name} "
        # Waiting is no work of ours.
        if "select.epoll" in name or "'poll' of 'select" in name:
            continue
        found.append(Function(f"{where}{name}", own * 1000 / requests, total * 1000 / requests))
    return sorted(found, key=lambda function: function.own_ms, reverse=True)


async def _ask(application: Application, path: str, headers: dict[str, str]) -> None:
    """One GET, as a server hands it to the application."""
    parts = urlsplit(path)
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await application(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        },
        receive,
        send,
    )
    if status != 200:
        raise PostconditionNotMet(f"{path} was answered with {status}.")
