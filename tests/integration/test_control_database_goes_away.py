"""The control database goes away and comes back: requests are told soon, and what waits goes on soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ghostcrm_provisioning.control_database.database import PATIENCE_SECONDS, ControlDatabase
from ghostcrm_provisioning.errors import GhostcrmError, ServerUnreachable


class Line:
    """A port of this machine that leads to the server, until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self.port = 0
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in list(self._ends):
            end.transport.abort()
        await asyncio.sleep(0.05)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        self._ends |= {writer, far_writer}
        with suppress(OSError):
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        self._ends -= {writer, far_writer}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def behind_a_line(control_url: str) -> AsyncIterator[tuple[ControlDatabase, Line]]:
    known = conninfo_to_dict(control_url)
    line = Line(str(known["host"]), int(known["port"] or 5432))
    await line.mend()
    url = make_conninfo(control_url, host="127.0.0.1", port=line.port)
    async with ControlDatabase(url) as control:
        yield control, line
        await line.cut()


async def test_a_request_is_told_soon_and_a_worker_waits_until_it_is_back(
    control_url: str,
) -> None:
    async with behind_a_line(control_url) as (control, line), asyncio.timeout(60):
        assert await control.fetch_one("select 1 as one") == {"one": 1}
        await line.cut()

        async def ask(patience: float) -> object:
            PATIENCE_SECONDS.set(patience)  # of this task alone
            return await control.fetch_one("select 1 as one")

        patient = asyncio.create_task(ask(25.0))
        answers = await asyncio.gather(*(ask(1.0) for _ in range(30)), return_exceptions=True)
        assert {type(answer) for answer in answers} <= {ServerUnreachable}
        began = monotonic()
        with pytest.raises(ServerUnreachable):
            await ask(1.0)
        assert monotonic() - began < 4, "what is known to be gone is not waited for again"
        await asyncio.sleep(5)
        assert not patient.done()
        await line.mend()
        began = monotonic()
        assert await patient == {"one": 1}
        assert monotonic() - began < 4, "however long it was gone"
        assert await ask(1.0) == {"one": 1}


async def test_a_statement_that_is_cut_off_is_an_error_of_ours(control_url: str) -> None:
    async with behind_a_line(control_url) as (control, line), asyncio.timeout(60):
        running = asyncio.create_task(control.fetch_one("select pg_sleep(30)"))
        await asyncio.sleep(0.3)
        await line.cut()
        with pytest.raises(GhostcrmError) as caught:
            await running
        assert not isinstance(caught.value, psycopg.Error)
        await line.mend()
        assert await control.fetch_one("select 1 as one") == {"one": 1}
