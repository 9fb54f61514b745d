"""The control database goes away and comes back: requests are told soon, and what waits goes on soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from time import monotonic

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ghostcrm_provisioning.control_database import database
from ghostcrm_provisioning.control_database.database import PATIENCE_SECONDS, ControlDatabase
from ghostcrm_provisioning.errors import GhostcrmError, ServerUnreachable
from tests.integration.waiting import eventually

_TOO_LONG_SECONDS = 100.0


class Line:
    """A port of this machine that leads to the server. Whoever comes while it is cut is sent away, and when
    that was is kept; the port stays ours meanwhile."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._is_cut = asyncio.Event()
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.sent_away: list[float] = []

    async def open(self) -> int:
        """Returns the port."""
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def mend(self) -> None:
        self._is_cut.clear()

    def cut(self) -> None:
        self._is_cut.set()
        for end in self._ends:
            end.transport.abort()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

        async def all_have_left() -> bool:
            return not self._ends

        await eventually(all_have_left, what="those that lead them have noticed it")

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut.is_set():
            self.sent_away.append(monotonic())
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        self._ends |= {writer, far_writer}
        if self._is_cut.is_set():  # meanwhile
            self.cut()
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
    url = make_conninfo(control_url, host="127.0.0.1", port=await line.open())
    try:
        async with ControlDatabase(url) as control:
            yield control, line
    finally:
        await line.close()


@pytest.mark.long
async def test_a_request_is_told_soon_and_a_worker_waits_until_it_is_back(
    control_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONGEST_WAIT_SECONDS", _TOO_LONG_SECONDS)
    async with behind_a_line(control_url) as (control, line):
        assert await control.fetch_one("select 1 as one") == {"one": 1}
        line.cut()

        async def ask(patience: float) -> object:
            PATIENCE_SECONDS.set(patience)  # of this task alone
            return await control.fetch_one("select 1 as one")

        patient = asyncio.create_task(ask(_TOO_LONG_SECONDS))
        answers = await asyncio.gather(*(ask(1.0) for _ in range(30)), return_exceptions=True)
        assert {type(answer) for answer in answers} <= {ServerUnreachable}
        # From now on, what is not told soon takes longer than any machine does to tell it.
        monkeypatch.setattr(database, "_LOOK_AGAIN_SECONDS", _TOO_LONG_SECONDS)
        began = monotonic()
        with pytest.raises(ServerUnreachable):
            await ask(1.0)
        assert monotonic() - began < _TOO_LONG_SECONDS / 2, (
            "what is known to be gone is not waited for"
        )

        # However long it is gone, it is looked for every second or so, and not ever more rarely.
        async def was_looked_for() -> bool:
            return len(line.sent_away) >= 10

        await eventually(was_looked_for, what="it is looked for again and again")
        waits = [later - earlier for earlier, later in pairwise(line.sent_away)]
        assert min(waits[-3:]) < 4, waits
        assert not patient.done()
        line.mend()
        assert await patient == {"one": 1}
        assert await ask(1.0) == {"one": 1}


async def test_a_statement_that_is_cut_off_is_an_error_of_ours(control_url: str) -> None:
    async with behind_a_line(control_url) as (control, line):
        running = asyncio.create_task(control.fetch_one("select pg_sleep(600)"))
        with psycopg.connect(control_url, autocommit=True) as beside:

            async def is_at_work() -> bool:
                asked = (
                    "select from pg_stat_activity where datname = current_database() and query ~ %s"
                )
                return bool(beside.execute(asked, (r"^select pg_sleep\(600\)",)).fetchall())

            await eventually(is_at_work, what="the statement is at work")
        line.cut()
        with pytest.raises(GhostcrmError) as caught:
            await running
        assert not isinstance(caught.value, psycopg.Error)
        line.mend()
        assert await control.fetch_one("select 1 as one") == {"one": 1}
