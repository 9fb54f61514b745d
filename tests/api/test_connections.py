"""A connection on which no whole request comes is closed, and there are never too many of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from ghostcrm_provisioning import serving as serving_module
from ghostcrm_provisioning.serving import Serving
from ghostcrm_provisioning.web import connections
from ghostcrm_provisioning.web.connections import Connection
from ghostcrm_provisioning.wiring import Installation
from tests.api.test_streams import served
from tests.conftest import OpenInstallation
from tests.integration.waiting import eventually

HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


async def connected(
    serving: Serving, sent: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = serving.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    return reader, writer


async def standing(serving: Serving, count: int = 1) -> list[Connection]:
    """The server's side of so many connections, as soon as they stand."""

    async def look() -> list[Connection]:
        found = serving._server.server_state.connections
        return [each for each in found if isinstance(each, Connection)][:count] * (
            len(found) == count
        )

    return await eventually(look, what=f"{count} connections stand")


async def all_that_comes(reader: asyncio.StreamReader) -> bytes:
    """Whoever is still being sent something when he closes, may end the connection with a reset."""
    heard = bytearray()
    with suppress(ConnectionResetError):
        while piece := await reader.read(4096):
            heard += piece
    return bytes(heard)


async def test_half_a_request_is_not_waited_for_without_end(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def time_for_a_head(
        serving: Serving,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has all the time for its first head, and little for what follows."""
        monkeypatch.setattr(connections, "HEAD_SECONDS", 60.0)
        connection = await connected(serving, b"")
        await standing(serving)
        monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
        return connection

    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    async with served(installation) as serving, asyncio.timeout(120):
        for sent in (b"", HALF):
            reader, writer = await connected(serving, sent)
            assert b"HTTP/1.1 200" not in await reader.read()
            writer.close()
        reader, writer = await time_for_a_head(serving)
        writer.write(HALF + b"\r\n" + HALF)
        assert (await reader.read()).count(b"HTTP/1.1 200") == 1
        writer.close()
        # One who drips bytes after the refusal of a body that nobody reads is not waited for either.
        reader, writer = await time_for_a_head(serving)
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        reading = asyncio.create_task(all_that_comes(reader))
        while not reading.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert b" 405 " in await reading
        writer.close()


async def test_a_request_that_is_worked_on_is_not_cut_off(installation: Installation) -> None:
    async with served(installation) as serving, asyncio.timeout(120):
        reader, writer = await connected(
            serving,
            b"POST /admin/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        )
        (connection,) = await standing(serving)
        await eventually(lambda: _is_worked_on(connection), what="the head has come")
        assert connection._clock is None, "a slow body has its own time"
        writer.write(b"a=b")
        assert b"HTTP/1.1 4" in await reader.read()
        writer.close()


async def _is_worked_on(connection: Connection) -> bool:
    return connection.cycle is not None


async def test_more_connections_than_can_be_kept_are_refused(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_most_connections", lambda: 2)
    async with served(installation) as serving, asyncio.timeout(120):
        kept = [await connected(serving, HALF) for _ in range(2)]
        await standing(serving, 2)
        reader, writer = await connected(serving, b"")
        assert await reader.read() == b""
        for _, each in (*kept, (reader, writer)):
            each.close()
            await each.wait_closed()
        reader, writer = await connected(serving, HALF + b"Connection: close\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()


async def test_a_body_that_comes_too_slowly_is_told_so(
    opened: OpenInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "_SHARE_OF_THE_BODY", 0.01)  # of a minute
    installation = await opened(request_seconds=60.0)
    async with served(installation) as serving, asyncio.timeout(120):
        reader, writer = await connected(
            serving,
            b"POST /admin/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        )
        assert b" 408 " in await reader.read()
        writer.close()
