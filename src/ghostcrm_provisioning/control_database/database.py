"""Our own database: connections to it, and its upgrade.

Everything of ours is in the schema ``ghostcrm`` (the queue's tables in ``ghostcrm_queue``), so the
control database may be one that holds other things too. Connections are in autocommit mode;
:meth:`ControlDatabase.transaction` is how several statements become one.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from importlib.resources import files
from time import monotonic
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ghostcrm_provisioning.errors import ConfigurationError, ServerUnreachable
from ghostcrm_provisioning.postgres_errors import translating

SCHEMA = "ghostcrm"
WHERE = "the control database"
# Any fixed number does; it only has to be the same for all versions of this program.
_UPGRADE_LOCK = 0x67686F7374

# How long a connection is waited for: in a busy time, and while the server is known to be gone. A request
# (web/arrival.py) has less patience with the latter than a worker, who would have to begin again.
LONGEST_WAIT_SECONDS = 25.0
PATIENCE_SECONDS: ContextVar[float] = ContextVar("ghostcrm_patience", default=LONGEST_WAIT_SECONDS)
_LOOK_AGAIN_SECONDS = 5.0
_LOOK_AGAIN_FOR_A_LOST_SERVER_SECONDS = 1.0

Connection = AsyncConnection[DictRow]


def connection_options(url: str, *, application_name: str) -> str:
    """``url`` with what every connection of ours needs."""
    return make_conninfo(
        url,
        application_name=application_name,
        connect_timeout=10,
        # A worker that is frozen, or a machine that is gone, must not keep what it has locked.
        options=f"-c search_path={SCHEMA} -c timezone=UTC"
        " -c idle_in_transaction_session_timeout=10s -c lock_timeout=30s",
        keepalives_idle=15,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=30_000,
    )


class ControlDatabase:
    """A pool of connections to the control database.

    Use it as a context manager, or call :meth:`open` and :meth:`close`.
    """

    def __init__(self, url: str, *, largest_pool: int = 10) -> None:
        self.url = url
        self._is_lost = False
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            connection_options(url, application_name="ghostcrm"),
            min_size=1,
            max_size=largest_pool,
            open=False,
            # The pool would try again after 1, 2, 4 … seconds, and be late by as much as the server was
            # gone. It gives up at once instead; whoever waits for a connection has it try again.
            reconnect_timeout=_LOOK_AGAIN_FOR_A_LOST_SERVER_SECONDS,
            reconnect_failed=self._lost,
            kwargs={"autocommit": True, "row_factory": dict_row},
            check=AsyncConnectionPool.check_connection,
        )

    async def open(self) -> None:
        """Raises ServerUnreachable when the server does not answer within ten seconds."""
        with translating(WHERE):
            # A pool only ever says that it waited in vain; a connection says why.
            probe = await AsyncConnection.connect(
                connection_options(self.url, application_name="ghostcrm")
            )
            await probe.close()
            await self._pool.open(wait=True, timeout=15)

    async def close(self) -> None:
        await self._pool.close()

    async def __aenter__(self) -> ControlDatabase:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit mode."""
        with translating(WHERE):
            connection = await self._take()
            try:
                async with connection:
                    yield connection
            finally:
                await self._pool.putconn(connection)

    async def _take(self) -> Connection:
        """Raises ServerUnreachable when the server is gone, PoolTimeout when others have them all."""
        began, patience = monotonic(), PATIENCE_SECONDS.get()
        while True:
            left = began + LONGEST_WAIT_SECONDS - monotonic()
            look_again = (
                _LOOK_AGAIN_FOR_A_LOST_SERVER_SECONDS if self._is_lost else _LOOK_AGAIN_SECONDS
            )
            try:
                connection = await self._pool.getconn(timeout=min(max(left, 0.1), look_again))
            except PoolTimeout:
                waited = monotonic() - began
                if self._is_lost and waited >= patience:
                    raise ServerUnreachable("The control database does not answer.") from None
                if waited >= LONGEST_WAIT_SECONDS:
                    raise
            else:
                self._is_lost = False
                return connection

    async def _lost(self, _: object) -> None:
        self._is_lost = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction: all of it happens, or nothing."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def execute(self, statement: str, **parameters: Any) -> int:
        """Run one statement; returns how many rows it touched."""
        async with self.connection() as connection:
            return (await connection.execute(statement, parameters)).rowcount

    async def fetch_all(self, statement: str, **parameters: Any) -> list[DictRow]:
        async with self.connection() as connection:
            return await (await connection.execute(statement, parameters)).fetchall()

    async def fetch_one(self, statement: str, **parameters: Any) -> DictRow | None:
        async with self.connection() as connection:
            return await (await connection.execute(statement, parameters)).fetchone()


async def upgrade(
    connection: Connection, *, extensions: Mapping[str, Callable[[Connection], Awaitable[None]]]
) -> list[str]:
    """Bring our schema up to date; returns the migrations that were applied now.

    Safe to call from any number of processes at once (advisory lock). Each migration is one
    transaction together with its entry in ``schema_migrations``. ``extensions`` are named set-ups
    that follow the migrations (the queue's own tables); each runs once per name, outside of a
    transaction, and must itself converge.

    Raises:
        ConfigurationError: the schema is newer than this program, or a migration that was applied
            has been changed since.
    """
    migrations = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(
            files(__package__).joinpath("sql").iterdir(), key=lambda entry: entry.name
        )
        if entry.name.endswith(".sql")
    }
    if not _missing(await _applied(connection), migrations, extensions):
        return []
    await connection.execute("select pg_advisory_lock(%s)", (_UPGRADE_LOCK,))
    try:
        async with connection.transaction():
            await connection.execute(
                sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA))
            )
            await connection.execute(
                "create table if not exists schema_migrations ("
                " name text primary key, checksum text not null,"
                " applied_at timestamptz not null default now())"
            )
        missing = _missing(await _applied(connection), migrations, extensions)
        for name in missing:
            if name in extensions:
                await extensions[name](connection)
                await _record(connection, name, "")
                continue
            async with connection.transaction():
                await connection.execute(migrations[name])
                await _record(connection, name, _checksum(migrations[name]))
    finally:
        await connection.execute("select pg_advisory_unlock(%s)", (_UPGRADE_LOCK,))
    return missing


async def _applied(connection: Connection) -> dict[str, str]:
    row = await (
        await connection.execute("select to_regclass('schema_migrations') is not null as exists")
    ).fetchone()
    if row is None or not row["exists"]:
        return {}
    rows = await (
        await connection.execute("select name, checksum from schema_migrations")
    ).fetchall()
    return {row["name"]: row["checksum"] for row in rows}


def _missing(
    applied: Mapping[str, str], migrations: Mapping[str, str], extensions: Mapping[str, object]
) -> list[str]:
    known = applied.keys() & migrations.keys()
    if unknown := sorted(
        name for name in applied.keys() - migrations.keys() if name.endswith(".sql")
    ):
        raise ConfigurationError(
            f"The control database was upgraded by a newer version of this program ({unknown[-1]}).",
            next_step="Install the newer version on this machine too.",
        )
    for name in sorted(known):
        if applied[name] != _checksum(migrations[name]):
            raise ConfigurationError(
                f"The migration {name} of the control database was changed after it was applied.",
                next_step="Restore the file; write a new migration for a new change.",
            )
    return [name for name in (*migrations, *extensions) if name not in applied]


async def _record(connection: Connection, name: str, checksum: str) -> None:
    await connection.execute(
        "insert into schema_migrations (name, checksum) values (%s, %s)", (name, checksum)
    )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
