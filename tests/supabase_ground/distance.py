"""A server that is far away: what is sent to it and what it answers arrive later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict, make_conninfo


@dataclass
class Distance:
    """The way to a server.

    Attributes:
        url: of the server, by this way.
        turns: how often somebody has asked, and waited for the answer.
    """

    url: str = ""
    turns: int = 0


@asynccontextmanager
async def distance(url: str, *, seconds: float) -> AsyncIterator[Distance]:
    """A way to the server of that URL that takes so long in each direction."""
    parameters = conninfo_to_dict(url)
    host, port = str(parameters["host"]), int(str(parameters["port"]))
    way = Distance()
    tasks: set[asyncio.Task[None]] = set()

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        answered = True

        def ask() -> None:
            nonlocal answered
            way.turns += answered
            answered = False

        def answer() -> None:
            nonlocal answered
            answered = True

        for task in (
            asyncio.create_task(_carry(reader, far_writer, seconds, ask)),
            asyncio.create_task(_carry(far_reader, writer, seconds, answer)),
        ):
            tasks.add(task)

    server = await asyncio.start_server(enter, "127.0.0.1", 0)
    async with server:
        way.url = make_conninfo(
            url, host="127.0.0.1", port=server.sockets[0].getsockname()[1], sslmode="disable"
        )
        try:
            yield way
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    seconds: float,
    seen: Callable[[], None],
) -> None:
    """Each piece arrives that much later than it was sent, however many are on their way."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, piece = await on_the_way.get()
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            writer.write(piece)
            await writer.drain()

    arriving = asyncio.create_task(arrive())
    try:
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                seen()
                on_the_way.put_nowait((loop.time() + seconds, piece))
    finally:
        arriving.cancel()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
