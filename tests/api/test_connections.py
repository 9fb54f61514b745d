"""A connection on which no whole request comes is closed, and there are never too many of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from ghostcrm_provisioning.serving import Serving
from ghostcrm_provisioning.web import connections
from ghostcrm_provisioning.wiring import Installation
from tests.api.test_streams import served
from tests.conftest import OpenInstallation

HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


async def connected(
    serving: Serving, sent: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = serving.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    return reader, writer


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
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    async with served(installation) as serving, asyncio.timeout(20):
        for sent, answers in ((b"", 0), (HALF, 0), (HALF + b"\r\n" + HALF, 1)):
            reader, writer = await connected(serving, sent)
            assert (await reader.read()).count(b"HTTP/1.1 200") == answers
            writer.close()
        # One who drips bytes after the refusal of a body that nobody reads is not waited for either.
        body = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        reader, writer = await connected(serving, body)
        reading = asyncio.create_task(all_that_comes(reader))
        while not reading.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert b" 405 " in await reading
        writer.close()


async def test_a_request_that_is_worked_on_is_not_cut_off(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    async with served(installation) as serving, asyncio.timeout(20):
        reader, writer = await connected(
            serving,
            b"POST /admin/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        )
        await asyncio.sleep(0.6)  # a slow body has its own time
        writer.write(b"a=b")
        assert b"HTTP/1.1 4" in await reader.read()
        writer.close()


async def test_more_connections_than_can_be_kept_are_refused(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_most_connections", lambda: 2)
    async with served(installation) as serving, asyncio.timeout(20):
        kept = [await connected(serving, HALF) for _ in range(2)]
        await asyncio.sleep(0.1)
        reader, writer = await connected(serving, b"")
        assert await reader.read() == b""
        for _, each in (*kept, (reader, writer)):
            each.close()
            await each.wait_closed()
        reader, writer = await connected(serving, HALF + b"Connection: close\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()


async def test_a_body_that_comes_too_slowly_is_told_so(opened: OpenInstallation) -> None:
    installation = await opened(request_seconds=1.0)
    async with served(installation) as serving, asyncio.timeout(20):
        reader, writer = await connected(
            serving,
            b"POST /admin/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        )
        assert b" 408 " in await reader.read()
        writer.close()
