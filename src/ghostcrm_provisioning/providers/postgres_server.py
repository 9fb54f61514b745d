"""One PostgreSQL server: how we connect to it, and what stands on it.

Statements about the whole server go through a small pool; what is done inside a database has a
connection of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any
from urllib.parse import quote

import stamina
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.postgres_errors import translating, was_undone
from ghostcrm_provisioning.providers.provider import Connection

POSTGRES = NamedSql(__package__, "postgres.sql")

_STATEMENT_TIMEOUT = "60s"
_LOCK_TIMEOUT = "30s"
_LARGEST_POOL = 16
_POOL_TIMEOUT_SECONDS = 60.0
_POOL_PATIENCE_SECONDS = 2.0

# By itself it would print what it repeats, and count it under names of its own.
stamina.instrumentation.set_on_retry_hooks([])

# For a method that makes one transaction about roles or databases, which all users of the server share.
# PostgreSQL tells no order in which others take what it locks for these; a transaction that it gave up
# is made again, a few times and not at the same moment as the other one.
repeated_when_undone = stamina.retry(
    on=was_undone, attempts=6, timeout=30.0, wait_initial=0.05, wait_jitter=0.2, wait_max=1.0
)


class PostgresServer:
    """Connections to one server as its administrating login.

    Args:
        url: how that login connects; its database is used for statements about the whole server.
        name: for messages.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self.where = f"the server {name}"
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            make_conninfo("", **self._parameters(None)),
            min_size=0,
            max_size=_LARGEST_POOL,
            open=False,
            # The pool would try again after 1, 2, 4 … seconds, and be late by as much as the server was
            # gone. It gives up at once; whoever waits has it try again.
            reconnect_timeout=1.0,
            kwargs={"autocommit": True, "row_factory": dict_row},
            check=AsyncConnectionPool.check_connection,
        )

    async def __aenter__(self) -> PostgresServer:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    @property
    def own_database(self) -> str:
        """The database that the administrating login's URL names."""
        return str(conninfo_to_dict(self._url).get("dbname", "postgres"))

    def url(self, *, database: str, user: str, password: str) -> str:
        """How somebody else comes to a database of this server. Holds the password."""
        parameters = conninfo_to_dict(self._url)
        return connection_url(
            host=str(parameters.get("host", "localhost")),
            port=str(parameters.get("port", "5432")),
            database=database,
            user=user,
            password=password,
            sslmode=parameters.get("sslmode"),
        )

    def own_url(self, database: str) -> str:
        """How the administrating login comes to a database of this server. Holds its password."""
        parameters = conninfo_to_dict(self._url)
        return self.url(
            database=database,
            user=str(parameters.get("user", "")),
            password=str(parameters.get("password", "")),
        )

    def unlimited_conninfo(self, database: str) -> str:
        """How the administrating login connects to a database without a time limit for statements;
        may hold a password."""
        return make_conninfo(
            "",
            **conninfo_to_dict(self._url)
            | {"dbname": database, "application_name": "ghostcrm scratch", "connect_timeout": 10},
        )

    @asynccontextmanager
    async def connect(self, database: str | None) -> AsyncIterator[Connection]:
        """A connection of its own, in autocommit mode; None is the URL's own database."""
        connection: Connection = await AsyncConnection.connect(
            **self._parameters(database), autocommit=True, row_factory=dict_row
        )
        async with connection:
            yield connection

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Connection]:
        """A connection of the pool, for statements about the whole server. Errors are translated."""
        with translating(self.where):
            connection = await self._wait_for_connection()
            try:
                async with connection:
                    yield connection
            finally:
                await self._pool.putconn(connection)

    async def _wait_for_connection(self) -> Connection:
        """A pool only ever says that it waited in vain; a connection of our own says why: the server
        is coming up, or gone. Where it works, the pool is merely busy."""
        until = perf_counter() + _POOL_TIMEOUT_SECONDS
        while True:
            try:
                return await self._pool.getconn(timeout=_POOL_PATIENCE_SECONDS)
            except PoolTimeout:
                async with self.connect(None):
                    pass
                if perf_counter() > until:
                    raise

    def _parameters(self, database: str | None) -> dict[str, Any]:
        parameters: dict[str, Any] = conninfo_to_dict(self._url)
        if database is not None:
            parameters["dbname"] = database
        return parameters | {
            "application_name": "ghostcrm provider",
            "connect_timeout": 10,
            "options": f"-c statement_timeout={_STATEMENT_TIMEOUT} -c lock_timeout={_LOCK_TIMEOUT}"
            " -c timezone=UTC -c search_path=",
        }


async def find_database(connection: Connection, name: str) -> dict[str, Any] | None:
    """The database of that name: its stamp, whether it is ours and open, and who may do what."""
    return await (await connection.execute(POSTGRES["observe_database"], {"name": name})).fetchone()


async def create_closed(connection: Connection, name: str, source: str = "template0") -> None:
    """Make a database that only we can enter, empty unless it is a copy of something."""
    identifier = sql.Identifier(name)
    await connection.execute(
        sql.SQL("create database {} template {} allow_connections false").format(
            identifier, sql.Identifier(source)
        )
    )
    await connection.execute(sql.SQL("revoke all on database {} from public").format(identifier))
    await connection.execute(sql.SQL("alter database {} allow_connections true").format(identifier))


async def drop_database(connection: Connection, name: str) -> None:
    """Drop a database of ours, with sessions that a killed builder has left in it. Not WITH (FORCE):
    that needs the right to end every session, autovacuum's too, which we have not; PostgreSQL sends
    autovacuum away by itself."""
    await connection.execute(POSTGRES["end_own_sessions"], {"name": name})
    await connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


def connection_url(
    *, host: str, port: str, database: str, user: str, password: str, sslmode: Any = None
) -> str:
    """A ``postgresql://`` URL; every part is percent-encoded."""
    authority = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    # A socket directory cannot stand in the authority part.
    is_socket = host.startswith("/")
    place = "" if is_socket else f"{f'[{host}]' if ':' in host else host}:{port}"
    query = f"?host={quote(host, safe='')}&port={port}" if is_socket else ""
    if sslmode:
        query += f"{'&' if query else '?'}sslmode={quote(str(sslmode), safe='')}"
    return f"postgresql://{authority}{place}/{quote(database, safe='')}{query}"
