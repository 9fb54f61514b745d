"""A door before the platform, for one client: it sees which calls a run makes, and does to them what
goes wrong on the way to Supabase.

It is told by the control database in which step a call is made, so that "the first time that this step asks
for that" can be met, whatever the steps before have needed.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

# What goes wrong. Of those that end in "late", the work is done only when nobody waits for it any more.
REPLY_LOST = "reply lost after the work"
REFUSED = "connection refused"
TOO_MANY = "429"
ERROR_BEFORE = "500 before the work"
ERROR_AFTER = "500 after the work"
SILENCE = "silence after the work"
SILENCE_LATE = "silence, the work done late"
KILLED = "worker killed, the work done"
KILLED_LATE = "worker killed, the work done late"
LATE = frozenset({SILENCE_LATE, KILLED_LATE})
KILLING = frozenset({KILLED, KILLED_LATE})

_IDS = re.compile(r"[a-z]{20}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What is named by its user: organizations, tables, buckets.
_NAMED = re.compile(
    r"(?<=/organizations/)[^/]+|(?<=/rest/v1/)[^/]+|(?<=/bucket/)[^/]+|(?<=/list/)[^/]+"
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LATE_SECONDS = 0.3
_NOBODY_LISTENS = 1


@dataclass(frozen=True, order=True)
class Call:
    """What a step asks for: the endpoint, with ``*`` for what varies."""

    step: str
    method: str
    endpoint: str

    def __str__(self) -> str:
        return f"{self.step}: {self.method} {self.endpoint}"

    @property
    def changes_something(self) -> bool:
        return self.method != "GET" and "/object/list/" not in self.endpoint


@dataclass
class Fault:
    """``occasion``: which time in that step, from 1."""

    kind: str
    call: Call
    occasion: int = 1
    met: bool = False

    def __str__(self) -> str:
        return f"{self.kind} at {self.call} ({self.occasion})"


def endpoint_of(path: str) -> str:
    return _NAMED.sub("*", _IDS.sub("*", path.split("?", maxsplit=1)[0]))


@dataclass
class Door:
    """See the module's text.

    Args:
        where: in which step the run is.
        kill: ends whoever carries out the run.
        first: what happens behind everybody's back just before a call is made for the first time, given its
            path.
        doing: what is done instead of a run's step.
        given_up: how often nobody waited any more for an answer that nothing held up, by step: because this
            machine has too much to do.
    """

    platform_url: str
    where: Callable[[], Awaitable[str]]
    kill: Callable[[], None] | None = None
    first: dict[Call, Callable[[str], Awaitable[None]]] = field(default_factory=dict)
    url: str = ""
    doing: str | None = None
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    given_up: Counter[str] = field(default_factory=Counter)
    _seen: Counter[Call] = field(default_factory=Counter)
    _at_work: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def counts(self) -> Counter[Call]:
        """How often each was made."""
        return Counter(self.calls)

    async def refuses(self, request: httpx.Request) -> bool:
        """Whether the connection for this request is to be refused."""
        waiting = [each for each in self.faults if each.kind == REFUSED and not each.met]
        if not waiting:
            return False
        call = Call(self.doing or await self.where(), request.method, endpoint_of(request.url.path))
        for fault in waiting:
            if fault.call == call and fault.occasion == self._seen[call] + 1:
                self._note(call)
                fault.met = True
                return True
        return False

    def begin(self, faults: Sequence[Fault] = ()) -> None:
        """Forget what was asked for, and what went wrong."""
        self.faults[:] = faults
        self.calls.clear()
        self._seen.clear()

    def _note(self, call: Call) -> None:
        self._seen[call] += 1
        self.calls.append(call)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._at_work.add(task)
        try:
            while await self._pass_on(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone
        finally:
            self._at_work.discard(task)
            writer.transport.abort()

    async def close(self) -> None:
        for task in tuple(self._at_work):
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when nothing more may come on this connection."""
        asked = await _message(reader)
        method, path, _ = asked.split(b" ", 2)
        call = Call(self.doing or await self.where(), method.decode(), endpoint_of(path.decode()))
        self._note(call)
        if (meanwhile := self.first.pop(call, None)) is not None:
            await meanwhile(path.decode())
        fault = next(
            (
                each
                for each in self.faults
                if not each.met and each.call == call and each.occasion == self._seen[call]
            ),
            None,
        )
        if fault is None:
            answer = await self._ask(asked)
            if reader.at_eof():
                self.given_up[call.step] += 1
            writer.write(answer)
            await writer.drain()
            return True
        fault.met = True
        match fault.kind:
            case "reply lost after the work":
                await self._ask(asked)
            case "429":
                headers = "retry-after: 1\r\nx-ratelimit-limit: 120\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1"
                writer.write(_answer("429 Too Many Requests", headers))
                await writer.drain()
                return True
            case "500 before the work":
                writer.write(_answer("500 Internal Server Error"))
                await writer.drain()
                return True
            case "500 after the work":
                await self._ask(asked)
                writer.write(_answer("500 Internal Server Error"))
                await writer.drain()
                return True
            case "silence after the work":
                await self._ask(asked)
                await reader.read()  # until nobody waits any more
            case "silence, the work done late":
                await reader.read()
                await asyncio.sleep(_LATE_SECONDS)
                await self._ask(asked)
            case "worker killed, the work done":
                await self._ask(asked)
                self._kill()
            case "worker killed, the work done late":
                self._kill()
                await asyncio.sleep(_LATE_SECONDS)
                await self._ask(asked)
            case _:
                raise AssertionError(fault.kind)
        return False

    def _kill(self) -> None:
        assert self.kill is not None
        self.kill()

    async def _ask(self, asked: bytes) -> bytes:
        """What the platform answers."""
        place = urlsplit(self.platform_url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            writer.write(asked)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def _answer(status: str, headers: str = "x-nothing: more") -> bytes:
    body = b'{"message":"as ordered"}'
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{headers}\r\n\r\n"
    ).encode() + body


@asynccontextmanager
async def open_door(platform_url: str, where: Callable[[], Awaitable[str]]) -> AsyncIterator[Door]:
    """A door at an address of its own."""
    door = Door(platform_url, where)
    server = await asyncio.start_server(door.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    door.url = f"http://127.0.0.1:{port}"
    _DOORS[port] = door
    try:
        yield door
    finally:
        del _DOORS[port]
        server.close()
        await door.close()


# --- connections that are refused -----------------------------------------------------------------

_DOORS: dict[int, Door] = {}
_send = httpx.AsyncHTTPTransport.handle_async_request


async def send_or_be_refused(
    transport: httpx.AsyncHTTPTransport, request: httpx.Request
) -> httpx.Response:
    """Instead of :meth:`httpx.AsyncHTTPTransport.handle_async_request`: what a door refuses is sent to where
    nobody listens, over a new connection as when it had been tried there."""
    door = _DOORS.get(request.url.port or 0)
    if door is not None and await door.refuses(request):
        request.url = request.url.copy_with(port=_NOBODY_LISTENS)
    return await _send(transport, request)
