"""What PostgreSQL logs while a test runs: all statements, those of other tests as well."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

from psycopg import sql

from tests.conftest import Server

_PATIENCE_SECONDS = 120.0
_BETWEEN_LOOKS_SECONDS = 0.02


class ServerLog:
    """The server's log from now on: what was there before, of a whole test run, is not read."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._folder = server.log_folder / "log"
        self._known = {path: path.stat().st_size for path in self._folder.iterdir()}

    def text(self) -> str:
        """Everything that was logged until this moment: the log's writer is waited for."""
        last = f"the last of a test {uuid4()}"
        with self._server.superuser() as connection:
            # No parameter: these are not logged.
            connection.execute(sql.SQL("select {}").format(sql.Literal(last)))
        until = time.monotonic() + _PATIENCE_SECONDS
        while last not in (text := "".join(map(self._since, sorted(self._folder.iterdir())))):
            assert time.monotonic() < until, "the server does not log statements"
            time.sleep(_BETWEEN_LOOKS_SECONDS)
        return text

    def _since(self, path: Path) -> str:
        with path.open("rb") as file:
            file.seek(self._known.get(path, 0))
            return file.read().decode(errors="replace")
