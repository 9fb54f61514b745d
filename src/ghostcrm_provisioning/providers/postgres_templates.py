"""Template and scratch databases of one PostgreSQL server.

For each blueprint version the server keeps one template, built when it is first needed: a new client
database is a copy of it. Scratch databases are for looking and measuring; whoever uses one drops it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from ghostcrm_provisioning.errors import StampMismatch, ToldToWait
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers.postgres_server import (
    POSTGRES,
    PostgresServer,
    create_closed,
    drop_database,
    find_database,
)
from ghostcrm_provisioning.providers.provider import Connection, Template
from ghostcrm_provisioning.providers.stamp import is_same_stamp, stamp_of


def template_name(installation_id: UUID, template: Template) -> str:
    """The name of a template's database."""
    return f"ghostcrm_template_{installation_id.hex[:8]}_{template.fingerprint[:16]}"


class PostgresTemplates:
    """What is copied on one server, and copies that nobody keeps."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        # Known to be complete: looked up once per process, since a template never changes.
        self._ready: set[str] = set()

    def forget(self, name: str) -> None:
        """The template was seen to have vanished."""
        self._ready.discard(name)

    async def ensure(
        self, connection: Connection, installation_id: UUID, template: Template
    ) -> str:
        """The name of the template's database, which is built when it is not there.

        Raises:
            ToldToWait: another worker is building it; StampMismatch: what has its name is not ours.
        """
        name = template_name(installation_id, template)
        if name in self._ready:
            return name
        stamp = stamp_of(installation_id, template=template.fingerprint)
        row = await find_database(connection, name)
        if row is None or not is_same_stamp(row["stamp"], stamp):
            try:
                await connection.execute(POSTGRES["lock_template"], {"name": name})
            except psycopg.errors.LockNotAvailable:
                raise ToldToWait(
                    f"Another worker is still building the template {name} on {self._server.where}.",
                    wait_seconds=2.0,
                ) from None
            try:
                await self._build_template(connection, name, stamp, template)
            finally:
                await connection.execute(POSTGRES["unlock_template"], {"name": name})
        self._ready.add(name)
        return name

    async def time_bare_copy(self, installation_id: UUID, template: Template) -> float:
        """How long a bare ``CREATE DATABASE … TEMPLATE`` takes, in ms: the measure of our own speed.
        The copy is dropped at once."""
        prefix = f"ghostcrm_measure_{installation_id.hex[:8]}_"
        name = sql.Identifier(f"{prefix}{uuid4().hex}")
        async with self._server.borrowed() as connection:
            source = sql.Identifier(await self.ensure(connection, installation_id, template))
            # Of a measurement that was killed: the name holds our installation's id.
            rows = await (
                await connection.execute(POSTGRES["databases_of_ours"], {"prefix": prefix})
            ).fetchall()
            for row in rows:
                await connection.execute(
                    sql.SQL("drop database if exists {}").format(sql.Identifier(row["datname"]))
                )
            began = perf_counter()
            await connection.execute(
                sql.SQL("create database {} template {} allow_connections false").format(
                    name, source
                )
            )
            elapsed = perf_counter() - began
            await connection.execute(sql.SQL("drop database {}").format(name))
        return elapsed * 1000

    @asynccontextmanager
    async def scratch_database(self, installation_id: UUID) -> AsyncIterator[Connection]:
        """An empty database, as the one a template is built in, that nobody else may enter; dropped
        afterwards, whatever happens. Yields its administrator's connection, in autocommit mode."""
        with translating(self._server.where):
            async with (
                self._scratch(installation_id, "template0") as name,
                self._server.connect(name) as inside,
            ):
                yield inside

    @asynccontextmanager
    async def scratch_copy(self, installation_id: UUID, template: Template) -> AsyncIterator[str]:
        """A copy of the template that nobody else may enter; dropped afterwards, whatever happens.
        Yields how its administrator connects to it, without a time limit for statements; the string
        may hold a password."""
        with translating(self._server.where):
            async with self._server.borrowed() as connection:
                source = await self.ensure(connection, installation_id, template)
            async with self._scratch(installation_id, source) as name:
                yield self._server.unlimited_conninfo(name)

    @asynccontextmanager
    async def _scratch(self, installation_id: UUID, source: str) -> AsyncIterator[str]:
        """Its name is locked for as long as it is used: one whose lock is free was left by a process
        that was killed, and is dropped by the next one that comes."""
        prefix = f"ghostcrm_scratch_{installation_id.hex[:8]}_"
        name = f"{prefix}{uuid4().hex[:24]}"
        # A connection of its own: it keeps the lock for longer than the pool lends.
        async with self._server.connect(None) as keeper:
            await keeper.execute(POSTGRES["lock_scratch"], {"name": name})
            await self._drop_abandoned(keeper, prefix)
            try:
                await create_closed(keeper, name, source)
                yield name
            finally:
                if await find_database(keeper, name) is not None:
                    await drop_database(keeper, name)

    async def _drop_abandoned(self, keeper: Connection, prefix: str) -> None:
        rows = await (
            await keeper.execute(POSTGRES["databases_of_ours"], {"prefix": prefix})
        ).fetchall()
        for row in rows:
            name = {"name": row["datname"]}
            lock = await (await keeper.execute(POSTGRES["try_lock_scratch"], name)).fetchone()
            if lock is None or not lock["locked"]:
                continue  # somebody works in it
            try:
                if await find_database(keeper, row["datname"]) is not None:
                    await drop_database(keeper, row["datname"])
            finally:
                await keeper.execute(POSTGRES["unlock_scratch"], name)

    async def _build_template(
        self, connection: Connection, name: str, stamp: str, template: Template
    ) -> None:
        row = await find_database(connection, name)
        if row is not None and is_same_stamp(row["stamp"], stamp):
            return  # another worker built it while this one waited for the lock
        identifier = sql.Identifier(name)
        if row is not None:
            if not row["is_ours"] or row["stamp"] is not None:
                raise StampMismatch(
                    f"A database {name} exists on {self._server.where}, but it is not our template.",
                    database=name,
                )
            # A builder died: the name holds our installation's id, and only we hold the lock.
            await drop_database(connection, name)
        await create_closed(connection, name)
        try:
            async with self._server.connect(name) as inside:
                await template.build(inside)
        except BaseException:
            # When it cannot be dropped now, the next builder does it; the reason is what counts.
            with suppress(psycopg.Error):
                await drop_database(connection, name)
            raise
        async with connection.transaction():
            await connection.execute(
                sql.SQL("comment on database {} is {}").format(identifier, sql.Literal(stamp))
            )
            await connection.execute(
                sql.SQL("alter database {} allow_connections false").format(identifier)
            )
