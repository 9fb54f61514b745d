"""A provider under test, and what the suite needs to see and do behind its back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Login,
    Provider,
    Template,
)
from tests.conftest import Server
from tests.forked import FORKED
from tests.providers.another_process import as_told, create


@dataclass
class Builds:
    """How often a template was built; the next builds may be made to fail."""

    count: int = 0
    error: Exception | None = None

    async def __call__(self, connection: Connection) -> None:
        self.count += 1
        await connection.execute("create table public.things (name text)")
        await connection.execute("insert into public.things values ('from the template')")
        if self.error is not None:
            raise self.error


@dataclass(frozen=True)
class OtherProcess:
    """One that creates a database."""

    process: ForkServerProcess
    answers: Pipe

    def built(self) -> int:
        """How many templates it has built for that, once it is there."""
        assert self.answers.poll(170), "it has not ended"
        return int(self.answers.recv())

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def end(self) -> None:
        self.kill()
        self.answers.close()
        self.process.close()


class OnPostgres:
    """The provider ``postgres``, and its server as a superuser sees it."""

    def __init__(self, server: Server, url: str, resources: AsyncExitStack) -> None:
        self._server = server
        self._url = url
        self._resources = resources
        self._processes = ExitStack()
        self._logged_before = {path: path.stat().st_size for path in self._log_files()}
        self.builds = Builds()

    async def provider(self) -> PostgresProvider:
        """One more, as another process would have it."""
        return await self._resources.enter_async_context(
            PostgresProvider(self._url, server_name="test")
        )

    def provider_of_no_server(self) -> PostgresProvider:
        return PostgresProvider(
            "postgresql://nobody:a-secret@127.0.0.1:1/postgres", server_name="nowhere"
        )

    def request(self, *logins: Login, fingerprint: str | None = None) -> DatabaseRequest:
        """For a new database, of a new installation."""
        database_id = uuid4()
        return DatabaseRequest(
            installation_id=uuid4(),
            database_id=database_id,
            name=f"ghostcrm_{database_id.hex}",
            template=Template(fingerprint or uuid4().hex * 2, self.builds),
            logins=logins or (Login("app", "its own password", connection_limit=7), Login("owner")),
        )

    def another(self, request: DatabaseRequest) -> DatabaseRequest:
        """For another database of the same installation, from the same template."""
        database_id = uuid4()
        return replace(request, database_id=database_id, name=f"ghostcrm_{database_id.hex}")

    # --- behind its back ------------------------------------------------------------------------

    def ask(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with self._server.superuser() as connection:
            return connection.execute(statement.encode(), parameters or None).fetchall()

    def do(self, statement: str, **names: str) -> None:
        """A statement as superuser; ``{name}`` is an identifier."""
        with self._server.superuser() as connection:
            connection.execute(
                sql.SQL(statement).format(
                    **{key: sql.Identifier(name) for key, name in names.items()}
                )
            )

    def inside(self, database: str) -> list[str]:
        """The things that are in a database."""
        with psycopg.connect(self._server.running.url(database), row_factory=dict_row) as inside:
            return [row["name"] for row in inside.execute("select name from public.things")]

    def databases(self, request: DatabaseRequest) -> list[str]:
        """Those of the request's installation: the one it names, and its templates."""
        rows = self.ask(
            "select datname from pg_database where datname = %s or datname like %s order by 1",
            request.name,
            f"ghostcrm\\_%\\_{request.installation_id.hex[:8]}\\_%",
        )
        return [row["datname"] for row in rows]

    def state(self, request: DatabaseRequest) -> list[dict[str, Any]]:
        """Everything that there is to see of a database and its logins."""
        return self.ask(
            "select oid::text, to_jsonb(d) - 'datfrozenxid' - 'datminmxid' as row,"
            " shobj_description(oid, 'pg_database') as stamp from pg_database d where datname = %s"
            " union all select oid::text, to_jsonb(a), null from pg_authid a where rolname like %s"
            " union all select roleid::text, to_jsonb(m), null from pg_auth_members m"
            " where member::regrole::text like %s or roleid::regrole::text like %s order by 1, 2",
            request.name,
            *[f"%{request.name}_%"] * 3,
        )

    def make_by_hand(self, name: str, *, stamp: str | None, open_: bool = True) -> None:
        """A database that the provider did not make."""
        owner = "provisioner" if not open_ else "postgres"
        self.do(f"create database {{name}} owner {owner} allow_connections {open_}", name=name)
        if stamp is not None:
            with self._server.superuser() as connection:
                connection.execute(
                    sql.SQL("comment on database {} is {}").format(
                        sql.Identifier(name), sql.Literal(stamp)
                    )
                )

    def stamp_of(self, name: str) -> str | None:
        (row,) = self.ask(
            "select shobj_description(oid, 'pg_database') as stamp from pg_database"
            " where datname = %s",
            name,
        )
        return row["stamp"]  # type: ignore[no-any-return]

    def hold_logins(self, request: DatabaseRequest) -> psycopg.Connection[Any]:
        """Keeps ``create`` from making the logins until the connection is closed."""
        connection = psycopg.connect(self._url, autocommit=True)
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (request.name,))
        return connection

    def statements(self) -> str:
        """Every statement that the server has logged since this world began."""
        seen = []
        for path in self._log_files():
            with path.open("rb") as log:
                log.seek(self._logged_before.get(path, 0))
                seen.append(log.read().decode(errors="replace"))
        return "".join(seen)

    def _log_files(self) -> list[Path]:
        return [path for path in (self._server.log_folder / "log").iterdir() if path.is_file()]

    def start_process(self, request: DatabaseRequest, *, stuck: bool = False) -> OtherProcess:
        """A process that creates a database; ``stuck`` keeps it in the middle of the template."""
        answers, sending = FORKED.Pipe(duplex=False)
        process = FORKED.Process(target=create, args=(self._url, as_told(request), stuck, sending))
        process.start()
        sending.close()
        started = OtherProcess(process, answers)
        self._processes.callback(started.end)
        return started

    def end_processes(self) -> None:
        self._processes.close()


_PROVIDERS: dict[str, Callable[[Server, str, AsyncExitStack], OnPostgres]] = {
    "postgres": OnPostgres,
}


@pytest.fixture(params=sorted(_PROVIDERS))
async def world(
    request: pytest.FixtureRequest, server: Server, empty_control_url: str
) -> AsyncIterator[OnPostgres]:
    """Where the provider under test makes its databases."""
    async with AsyncExitStack() as resources:
        world = _PROVIDERS[request.param](server, empty_control_url, resources)
        yield world
        world.end_processes()


@pytest.fixture
async def provider(world: OnPostgres) -> Provider:
    return await world.provider()
