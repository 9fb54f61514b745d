"""Client databases on a PostgreSQL server: a ``CREATE DATABASE … TEMPLATE``, and logins of its own.

The login that does this needs CREATEDB and CREATEROLE, not superuser.

A database is born closed (``ALLOW_CONNECTIONS false``) and is opened by the same transaction that
stamps it and takes CONNECT from PUBLIC. So what is open is stamped and private, and what is closed
without a stamp is the unfinished work of this installation (its opaque name, with an id that the
control database holds, and its owner say so).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    NotOffered,
    PostconditionNotMet,
    StampMismatch,
)
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers import postgres_doors
from ghostcrm_provisioning.providers.postgres_logins import (
    creators,
    ensure_logins,
    give_password,
    is_as_wanted,
    let_log_in,
    login_name,
    make_scram_verifier,
)
from ghostcrm_provisioning.providers.postgres_server import (
    POSTGRES,
    PostgresServer,
    drop_database,
    find_database,
    repeated_when_undone,
)
from ghostcrm_provisioning.providers.postgres_templates import PostgresTemplates
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Knock,
    Login,
    Template,
)
from ghostcrm_provisioning.providers.stamp import is_same_stamp, stamp_of

_CONNECT = "CONNECT"  # of each login on its database, and nobody else's
_TEMPORARY = "TEMPORARY"  # of those that may make temporary things there
_CREATE = "CREATE"  # of the one that makes schemas there


class PostgresProvider:
    """Databases on one server.

    Args:
        url: how the administrating login connects; its database is used for statements that
            concern the whole server.
        server_name: for messages.
    """

    def __init__(self, url: str, *, server_name: str) -> None:
        self._server = PostgresServer(url, name=server_name)
        self._templates = PostgresTemplates(self._server)

    @property
    def kind(self) -> str:
        return "postgres"

    @property
    def copies_templates(self) -> bool:
        return True

    async def __aenter__(self) -> PostgresProvider:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    async def observe(self, request: DatabaseRequest) -> Observation:
        async with self._server.borrowed() as connection:
            return await self._observe(connection, request)

    async def create(self, request: DatabaseRequest) -> None:
        # The logins do not need the database to exist: they are made while it is copied.
        # Neither is cut short when the other fails, so that nothing is half-sent.
        outcomes = await asyncio.gather(
            self._ensure_database(request),
            self._ensure_logins(request.name, request.logins),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        await self._open_database(request)

    @repeated_when_undone
    async def remove(self, request: DatabaseRequest) -> None:
        async with self._changing_logins(request.name) as connection:
            row = await find_database(connection, request.name)
            if row is not None and self._is_finished(row, request):
                # So that nobody is in it when it goes; and whoever comes now, finds it closed.
                await postgres_doors.take_away(connection, request.name)
        async with self._server.borrowed() as connection:
            if await find_database(connection, request.name) is not None:
                await postgres_doors.end_sessions(connection, request.name)
                await drop_database(connection, request.name)
            for name in await self._logins_left(connection, request):
                await connection.execute(
                    sql.SQL("drop role if exists {}").format(sql.Identifier(name))
                )

    async def observe_absent(self, request: DatabaseRequest) -> Observation:
        async with self._server.borrowed() as connection:
            row = await find_database(connection, request.name)
            if row is not None:
                self._is_finished(row, request)
                return Observation(False, "the database is there")
            left = await self._logins_left(connection, request)
        if left:
            return Observation(False, f"the login {left[0]} is there")
        return Observation(True, "neither the database nor a login of it is there")

    async def enable_login(self, request: DatabaseRequest, login: Login) -> None:
        if login.password is None:
            raise ValueError("a login is enabled with its password")
        # In one transaction: without the database there is no login.
        await self._ensure_logins(request.name, (login,), let_in=True)

    async def enabled_logins(self, request: DatabaseRequest) -> frozenset[str]:
        prefix = login_name(request.name, "")
        async with self._server.borrowed() as connection:
            rows = await (
                await connection.execute(POSTGRES["enabled_logins"], {"prefix": prefix})
            ).fetchall()
        return frozenset(str(row["rolname"]).removeprefix(prefix) for row in rows)

    @repeated_when_undone
    async def set_password(self, request: DatabaseRequest, login: Login) -> None:
        if login.password is None:
            raise ValueError("a password is set to one")
        if login.key not in await self.enabled_logins(request):
            raise NotOffered(f"{request.name} has no login {login.key!r} that can log in.")
        verifier = await asyncio.to_thread(make_scram_verifier, login.password)
        role = sql.Identifier(login_name(request.name, login.key))
        async with self._changing_logins(request.name) as connection:
            await self._find_ours(connection, request)
            await postgres_doors.refuse_closed(connection, request.name)
            await connection.execute(give_password(role, verifier))

    async def opens(self, request: DatabaseRequest, login: Login) -> bool:
        return await postgres_doors.lets_in(
            self._url_of(request.name, login, at=request.name), where=self._server.where
        )

    async def end_sessions(self, request: DatabaseRequest, keys: Sequence[str]) -> None:
        async with self._server.borrowed() as connection:
            await self._find_ours(connection, request)
            for key in keys:
                await postgres_doors.end_sessions_of(
                    connection, request.name, login_name(request.name, key)
                )

    async def connection_limit(self, request: DatabaseRequest, key: str) -> int | None:
        async with self._server.borrowed() as connection:
            row = await (
                await connection.execute(
                    POSTGRES["connection_limit"], {"login": login_name(request.name, key)}
                )
            ).fetchone()
        return None if row is None else int(row["rolconnlimit"])

    @repeated_when_undone
    async def limit_connections(self, request: DatabaseRequest, login: Login) -> None:
        async with self._changing_logins(request.name) as connection:
            await connection.execute(
                sql.SQL("alter role {} connection limit {}").format(
                    sql.Identifier(login_name(request.name, login.key)),
                    sql.Literal(login.connection_limit),
                )
            )

    async def close(self, request: DatabaseRequest) -> None:
        await self._take_away(request)
        async with self._server.borrowed() as connection:
            await postgres_doors.end_sessions(connection, request.name)

    async def observe_closed(self, request: DatabaseRequest) -> Observation:
        async with self._server.borrowed() as connection:
            await self._find_ours(connection, request)
            return await postgres_doors.observe_closed(connection, request.name)

    async def suspend(self, request: DatabaseRequest) -> None:
        await self.close(request)

    async def observe_suspended(self, request: DatabaseRequest) -> Observation:
        return await self.observe_closed(request)

    async def resume(self, request: DatabaseRequest) -> None:
        await self.reopen(request)

    async def observe_running(self, request: DatabaseRequest) -> Observation:
        async with self._server.borrowed() as connection:
            row = await find_database(connection, request.name)
        if row is None:
            return Observation(False, "the database is not there")
        if not self._is_finished(row, request):
            return Observation(False, "the database is being made")
        return Observation(True, "its server runs")

    @repeated_when_undone
    async def admit(self, request: DatabaseRequest, login: Login) -> None:
        if login.password is None:
            raise ValueError("a login is admitted with its password")
        role = login_name(request.name, login.key)
        verifier = await asyncio.to_thread(make_scram_verifier, login.password)
        async with self._changing_logins(request.name) as connection:
            await self._find_ours(connection, request)
            await postgres_doors.admit(
                connection,
                request.name,
                role,
                let_log_in(sql.Identifier(role), verifier),
                temporary=login.temporary,
            )

    async def reopen(self, request: DatabaseRequest) -> None:
        # Whatever a login had beyond what it is to have is gone; the passwords are set before anybody
        # may enter with them.
        await self._take_away(request)
        await self._ensure_logins(request.name, request.logins)
        await self._open_database(request)

    @property
    def has_neighbours(self) -> bool:
        return True

    async def knock(self, name: str, login: Login, *, at: str) -> Knock:
        where = f"the database {at} on {self._server.where}"
        return await postgres_doors.knock(self._url_of(name, login, at=at), at=at, where=where)

    def shared_databases(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self._server.own_database, "postgres", "template1")))

    async def prepare_template(self, installation_id: UUID, template: Template) -> str:
        """Build the template ahead of the first client; returns its database's name."""
        async with self._server.borrowed() as connection:
            return await self._templates.ensure(connection, installation_id, template)

    async def time_bare_copy(self, installation_id: UUID, template: Template) -> float:
        """See :meth:`PostgresTemplates.time_bare_copy`."""
        return await self._templates.time_bare_copy(installation_id, template)

    def scratch_database(self, installation_id: UUID) -> AbstractAsyncContextManager[Connection]:
        """See :meth:`PostgresTemplates.scratch_database`."""
        return self._templates.scratch_database(installation_id)

    def scratch_copy(
        self, installation_id: UUID, template: Template
    ) -> AbstractAsyncContextManager[str]:
        """See :meth:`PostgresTemplates.scratch_copy`."""
        return self._templates.scratch_copy(installation_id, template)

    @asynccontextmanager
    async def administer(self, request: DatabaseRequest) -> AsyncIterator[Connection]:
        with translating(f"the database {request.name} on {self._server.where}"):
            async with self._server.connect(request.name) as connection:
                yield connection

    def ask_server(self, request: DatabaseRequest) -> AbstractAsyncContextManager[Connection]:
        return self._server.borrowed()

    async def administer_url(self, request: DatabaseRequest) -> str:
        return self._server.own_url(request.name)

    @asynccontextmanager
    async def log_in(self, request: DatabaseRequest, login: Login) -> AsyncIterator[Connection]:
        with translating(f"the database {request.name} on {self._server.where}"):
            connection: Connection = await AsyncConnection.connect(
                self._url_of(request.name, login, at=request.name),
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=10,
                application_name="ghostcrm provider",
            )
            async with connection:
                yield connection

    async def login_url(self, request: DatabaseRequest, login: Login) -> str:
        return self._url_of(request.name, login, at=request.name)

    def installing(
        self, request: DatabaseRequest, connection: Connection
    ) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def is_supabase(self, request: DatabaseRequest) -> bool:
        return False

    async def ours_among_others(
        self, request: DatabaseRequest, connection: Connection
    ) -> frozenset[str] | None:
        return None

    async def who_else_may_enter(
        self, request: DatabaseRequest, connection: Connection
    ) -> tuple[str, ...]:
        return ()

    async def offers_login(self, request: DatabaseRequest, key: str) -> bool:
        return True

    def services(self, request: DatabaseRequest) -> None:
        """A PostgreSQL server has none."""

    def _url_of(self, name: str, login: Login, *, at: str) -> str:
        """How a login of the database ``name`` comes to the database ``at``."""
        return self._server.url(
            database=at, user=login_name(name, login.key), password=login.password or ""
        )

    # --- looking ----------------------------------------------------------------------------------

    async def _observe(self, connection: Connection, request: DatabaseRequest) -> Observation:
        row = await find_database(connection, request.name)
        if row is None:
            return Observation(False, "the database is not there")
        if not self._is_finished(row, request):
            return Observation(False, "the database is being made")
        wanted = {login_name(request.name, login.key): login for login in request.logins}
        privileges = {f"{name} {_CONNECT}" for name in wanted}
        privileges |= {f"{name} {_TEMPORARY}" for name, login in wanted.items() if login.temporary}
        privileges |= {f"{name} {_CREATE}" for name in creators(request.name, request.logins)}
        if (seen_privileges := set(row["privileges"])) != privileges:
            differing = sorted(seen_privileges ^ privileges)
            return Observation(False, f"who may use the database differs: {', '.join(differing)}")
        rows = await (
            await connection.execute(POSTGRES["observe_logins"], {"names": list(wanted)})
        ).fetchall()
        seen = {row["rolname"]: row for row in rows}
        for name, login in wanted.items():
            if name not in seen:
                return Observation(False, f"the login {name} is not there")
            if not is_as_wanted(seen[name], login):
                return Observation(False, f"the login {name} is not as it should be")
        return Observation(True, f"{request.name} is there with {len(wanted)} logins of its own")

    async def _logins_left(self, connection: Connection, request: DatabaseRequest) -> list[str]:
        """The database's own logins, those first that are members of others."""
        rows = await (
            await connection.execute(POSTGRES["logins_of"], {"prefix": f"{request.name}_"})
        ).fetchall()
        return [str(row["rolname"]) for row in rows]

    async def _find_ours(self, connection: Connection, request: DatabaseRequest) -> None:
        """Raises PostconditionNotMet when the database is not there, StampMismatch when it is not ours."""
        row = await find_database(connection, request.name)
        if row is None:
            raise PostconditionNotMet(
                f"The database {request.name} is not there, on {self._server.where}."
            )
        self._is_finished(row, request)

    def _is_finished(self, row: dict[str, Any], request: DatabaseRequest) -> bool:
        """Whether the database is stamped and open; False while it is ours in the making.

        Raises:
            StampMismatch: it is neither.
        """
        stamp = stamp_of(request.installation_id, database=str(request.database_id))
        if row["stamp"] is None and not row["datallowconn"] and row["is_ours"]:
            return False
        if not is_same_stamp(row["stamp"], stamp):
            raise StampMismatch(
                f"A database {request.name} exists on {self._server.where}, but it does not carry our stamp.",
                database=request.name,
            )
        return bool(row["datallowconn"])

    # --- making -----------------------------------------------------------------------------------

    async def _ensure_database(self, request: DatabaseRequest) -> None:
        async with self._server.borrowed() as connection:
            template = await self._templates.ensure(
                connection, request.installation_id, request.template
            )
            try:
                await connection.execute(
                    sql.SQL("create database {} template {} allow_connections false").format(
                        sql.Identifier(request.name), sql.Identifier(template)
                    )
                )
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                pass  # another worker, or an earlier call whose reply was lost; its stamp is looked at later
            except psycopg.errors.InvalidCatalogName:
                self._templates.forget(template)
                raise DatabaseBusy(
                    f"The template {template} has vanished from {self._server.where}; it is built anew."
                ) from None

    @repeated_when_undone
    async def _ensure_logins(
        self, database: str, logins: tuple[Login, ...], *, let_in: bool = False
    ) -> None:
        names = [login_name(database, login.key) for login in logins]
        # Hashed here, so that neither a statement nor the server's log ever holds a password.
        verifiers = {
            login.key: await asyncio.to_thread(make_scram_verifier, login.password)
            for login in logins
            if login.password is not None
        }
        async with self._changing_logins(database) as connection:
            rows = await (
                await connection.execute(POSTGRES["observe_logins"], {"names": names})
            ).fetchall()
            existing = {row["rolname"] for row in rows}
            if let_in:
                await postgres_doors.refuse_closed(connection, database)
            async with connection.pipeline():
                await ensure_logins(connection, database, logins, verifiers, existing)
                if let_in:
                    await self._grant_database(connection, database, logins)

    @asynccontextmanager
    async def _changing_logins(self, name: str) -> AsyncIterator[Connection]:
        """A transaction in which nobody else changes that database or its logins: whoever works on the
        same one takes turns here. Others are met at the roles that all share, when these are granted."""
        async with self._server.borrowed() as connection, connection.transaction():
            await connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,)
            )
            yield connection

    @repeated_when_undone
    async def _open_database(self, request: DatabaseRequest) -> None:
        """Stamp it, close it to everyone but its own logins, and only then open it."""
        name = sql.Identifier(request.name)
        stamp = sql.Literal(stamp_of(request.installation_id, database=str(request.database_id)))
        async with self._changing_logins(request.name) as connection:
            await self._find_ours(connection, request)
            async with connection.pipeline():
                await connection.execute(
                    sql.SQL("comment on database {} is {}").format(name, stamp)
                )
                await connection.execute(
                    sql.SQL("revoke all on database {} from public").format(name)
                )
                await self._grant_database(connection, request.name, request.logins)
                await connection.execute(
                    sql.SQL("alter database {} allow_connections true").format(name)
                )

    @repeated_when_undone
    async def _take_away(self, request: DatabaseRequest) -> None:
        """Take every privilege on it from everybody."""
        async with self._changing_logins(request.name) as connection:
            await self._find_ours(connection, request)
            await postgres_doors.take_away(connection, request.name)

    async def _grant_database(
        self, connection: Connection, database: str, logins: tuple[Login, ...]
    ) -> None:
        """Who may connect, and who may create. Made anew for every copy: privileges on a database
        are not copied with it."""
        granted = {
            _CONNECT: [login_name(database, login.key) for login in logins],
            _TEMPORARY: [login_name(database, login.key) for login in logins if login.temporary],
            _CREATE: creators(database, logins),
        }
        for privileges, names in granted.items():
            if names:
                await connection.execute(
                    sql.SQL("grant {} on database {} to {}").format(
                        sql.SQL(privileges),
                        sql.Identifier(database),
                        sql.SQL(", ").join(map(sql.Identifier, names)),
                    )
                )
