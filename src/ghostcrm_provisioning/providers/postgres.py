"""Client databases on a PostgreSQL server: a ``CREATE DATABASE … TEMPLATE``, and logins of its own.

The login that does this needs CREATEDB and CREATEROLE, not superuser. For each blueprint version
the server keeps one template database, built when it is first needed.

A database is born closed (``ALLOW_CONNECTIONS false``) and is opened by the same transaction that
stamps it and takes CONNECT from PUBLIC. So what is open is stamped and private, and what is closed
without a stamp is the unfinished work of this installation (its opaque name, with an id that the
control database holds, and its owner say so).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    PostconditionNotMet,
    StampMismatch,
    ToldToWait,
)
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers import postgres_doors
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Knock,
    Login,
    Template,
)

POSTGRES = NamedSql(__package__, "postgres.sql")

_STATEMENT_TIMEOUT = "60s"
_LOCK_TIMEOUT = "30s"
_CONNECT = "CONNECT"  # of each login on its database, and nobody else's
_TEMPORARY = "TEMPORARY"  # of those that may make temporary things there
_CREATE = "CREATE"  # of the one that makes schemas there
_LARGEST_POOL = 16
_POOL_TIMEOUT_SECONDS = 60.0
_POOL_PATIENCE_SECONDS = 2.0
_SCRAM_ITERATIONS = 4096  # PostgreSQL's own default; some drivers refuse fewer


class PostgresProvider:
    """Databases on one server.

    Args:
        url: how the administrating login connects; its database is used for statements that
            concern the whole server.
        server_name: for messages.
    """

    def __init__(self, url: str, *, server_name: str) -> None:
        self._url = url
        self._where = f"the server {server_name}"
        # Known to be complete: looked up once per process, since a template never changes.
        self._ready_templates: set[str] = set()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            make_conninfo("", **self._parameters(None)),
            min_size=0,
            max_size=_LARGEST_POOL,
            open=False,
            kwargs={"autocommit": True, "row_factory": dict_row},
            check=AsyncConnectionPool.check_connection,
        )

    async def __aenter__(self) -> PostgresProvider:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def observe(self, request: DatabaseRequest) -> Observation:
        with translating(self._where):
            async with self._borrowed() as connection:
                return await self._observe(connection, request)

    async def create(self, request: DatabaseRequest) -> None:
        with translating(self._where):
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
            async with self._borrowed() as connection:
                await self._open_database(connection, request)

    async def enable_login(self, name: str, login: Login) -> None:
        if login.password is None:
            raise ValueError("a login is enabled with its password")
        with translating(self._where):
            # In one transaction: without the database there is no login.
            await self._ensure_logins(name, (login,), let_in=True)

    async def connection_limit(self, name: str, key: str) -> int | None:
        with translating(self._where):
            async with self._borrowed() as connection:
                row = await (
                    await connection.execute(
                        POSTGRES["connection_limit"], {"login": login_name(name, key)}
                    )
                ).fetchone()
        return None if row is None else int(row["rolconnlimit"])

    async def limit_connections(self, name: str, login: Login) -> None:
        with translating(self._where):
            async with self._changing_logins(name) as connection:
                await connection.execute(
                    sql.SQL("alter role {} connection limit {}").format(
                        sql.Identifier(login_name(name, login.key)),
                        sql.Literal(login.connection_limit),
                    )
                )

    async def close(self, request: DatabaseRequest) -> None:
        with translating(self._where):
            async with self._changing_logins(request.name) as connection:
                await self._find_ours(connection, request)
                await postgres_doors.take_away(connection, request.name)
            async with self._borrowed() as connection:
                await postgres_doors.end_sessions(connection, request.name)

    async def observe_closed(self, request: DatabaseRequest) -> Observation:
        with translating(self._where):
            async with self._borrowed() as connection:
                await self._find_ours(connection, request)
                return await postgres_doors.observe_closed(connection, request.name)

    async def admit(self, request: DatabaseRequest, login: Login) -> None:
        if login.password is None:
            raise ValueError("a login is admitted with its password")
        role = login_name(request.name, login.key)
        verifier = await asyncio.to_thread(make_scram_verifier, login.password)
        with translating(self._where):
            async with self._changing_logins(request.name) as connection:
                await self._find_ours(connection, request)
                await postgres_doors.admit(
                    connection,
                    request.name,
                    role,
                    _let_log_in(sql.Identifier(role), verifier),
                    temporary=login.temporary,
                )

    async def reopen(self, request: DatabaseRequest) -> None:
        with translating(self._where):
            async with self._borrowed() as connection:
                await self._find_ours(connection, request)
                # Whatever a login had beyond what it is to have is gone; the passwords are set before
                # anybody may enter with them.
                await postgres_doors.take_away(connection, request.name)
            await self._ensure_logins(request.name, request.logins)
            async with self._borrowed() as connection:
                await self._open_database(connection, request)

    async def knock(self, name: str, login: Login, *, at: str) -> Knock:
        where = f"the database {at} on {self._where}"
        return await postgres_doors.knock(self._url_of(name, login, at=at), at=at, where=where)

    def shared_databases(self) -> tuple[str, ...]:
        ours = str(conninfo_to_dict(self._url).get("dbname", "postgres"))
        return tuple(dict.fromkeys((ours, "postgres", "template1")))

    async def prepare_template(self, installation_id: UUID, template: Template) -> str:
        """Build the template ahead of the first client; returns its database's name."""
        with translating(self._where):
            async with self._borrowed() as connection:
                return await self._template(connection, installation_id, template)

    async def time_bare_copy(self, installation_id: UUID, template: Template) -> float:
        """How long a bare ``CREATE DATABASE … TEMPLATE`` takes, in ms: the measure of our own speed.
        The copy is dropped at once."""
        prefix = f"ghostcrm_measure_{installation_id.hex[:8]}_"
        name = sql.Identifier(f"{prefix}{uuid4().hex}")
        with translating(self._where):
            async with self._borrowed() as connection:
                source = sql.Identifier(await self._template(connection, installation_id, template))
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
        with translating(self._where):
            async with (
                self._scratch(installation_id, "template0") as name,
                self._connect(name) as inside,
            ):
                yield inside

    @asynccontextmanager
    async def scratch_copy(self, installation_id: UUID, template: Template) -> AsyncIterator[str]:
        """A copy of the template that nobody else may enter; dropped afterwards, whatever happens.
        Yields how its administrator connects to it, without a time limit for statements; the string
        may hold a password."""
        with translating(self._where):
            async with self._borrowed() as connection:
                source = await self._template(connection, installation_id, template)
            async with self._scratch(installation_id, source) as name:
                parameters = conninfo_to_dict(self._url) | {
                    "dbname": name,
                    "application_name": "ghostcrm scratch",
                    "connect_timeout": 10,
                }
                yield make_conninfo("", **parameters)

    @asynccontextmanager
    async def _scratch(self, installation_id: UUID, source: str) -> AsyncIterator[str]:
        """Its name is locked for as long as it is used: one whose lock is free was left by a process
        that was killed, and is dropped by the next one that comes."""
        prefix = f"ghostcrm_scratch_{installation_id.hex[:8]}_"
        name = f"{prefix}{uuid4().hex[:24]}"
        # A connection of its own: it keeps the lock for longer than the pool lends.
        async with self._connect(None) as keeper:
            await keeper.execute(POSTGRES["lock_scratch"], {"name": name})
            await self._drop_abandoned(keeper, prefix)
            try:
                await self._create_closed(keeper, name, source)
                yield name
            finally:
                if await self._find(keeper, name) is not None:
                    await _drop(keeper, name)

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
                if await self._find(keeper, row["datname"]) is not None:
                    await _drop(keeper, row["datname"])
            finally:
                await keeper.execute(POSTGRES["unlock_scratch"], name)

    @asynccontextmanager
    async def administer(self, name: str) -> AsyncIterator[Connection]:
        with translating(f"the database {name} on {self._where}"):
            async with self._connect(name) as connection:
                yield connection

    @asynccontextmanager
    async def log_in(self, name: str, login: Login) -> AsyncIterator[Connection]:
        with translating(f"the database {name} on {self._where}"):
            connection: Connection = await AsyncConnection.connect(
                self.login_url(name, login),
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=10,
                application_name="ghostcrm provider",
            )
            async with connection:
                yield connection

    def login_url(self, name: str, login: Login) -> str:
        return self._url_of(name, login, at=name)

    def _url_of(self, name: str, login: Login, *, at: str) -> str:
        """How a login of the database ``name`` comes to the database ``at``."""
        parameters = conninfo_to_dict(self._url)
        return connection_url(
            host=str(parameters.get("host", "localhost")),
            port=str(parameters.get("port", "5432")),
            database=at,
            user=login_name(name, login.key),
            password=login.password or "",
            sslmode=parameters.get("sslmode"),
        )

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

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Connection]:
        """A connection of the pool, for statements that concern the whole server."""
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
                async with self._connect(None):
                    pass
                if perf_counter() > until:
                    raise

    @asynccontextmanager
    async def _connect(self, database: str | None) -> AsyncIterator[Connection]:
        connection: Connection = await AsyncConnection.connect(
            **self._parameters(database), autocommit=True, row_factory=dict_row
        )
        async with connection:
            yield connection

    # --- looking ----------------------------------------------------------------------------------

    async def _observe(self, connection: Connection, request: DatabaseRequest) -> Observation:
        row = await self._find(connection, request.name)
        if row is None:
            return Observation(False, "the database is not there")
        if not self._is_finished(row, request):
            return Observation(False, "the database is being made")
        wanted = {login_name(request.name, login.key): login for login in request.logins}
        privileges = {f"{name} {_CONNECT}" for name in wanted}
        privileges |= {f"{name} {_TEMPORARY}" for name, login in wanted.items() if login.temporary}
        privileges |= {f"{name} {_CREATE}" for name in _creators(request.name, request.logins)}
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
            if not _is_as_wanted(seen[name], login):
                return Observation(False, f"the login {name} is not as it should be")
        return Observation(True, f"{request.name} is there with {len(wanted)} logins of its own")

    async def _find(self, connection: Connection, name: str) -> dict[str, Any] | None:
        return await (
            await connection.execute(POSTGRES["observe_database"], {"name": name})
        ).fetchone()

    async def _find_ours(self, connection: Connection, request: DatabaseRequest) -> None:
        """Raises PostconditionNotMet when the database is not there, StampMismatch when it is not ours."""
        row = await self._find(connection, request.name)
        if row is None:
            raise PostconditionNotMet(
                f"The database {request.name} is not there, on {self._where}."
            )
        self._is_finished(row, request)

    def _is_finished(self, row: dict[str, Any], request: DatabaseRequest) -> bool:
        """Whether the database is stamped and open; False while it is ours in the making.

        Raises:
            StampMismatch: it is neither.
        """
        stamp = _stamp(request.installation_id, database=str(request.database_id))
        if row["stamp"] is None and not row["datallowconn"] and row["is_ours"]:
            return False
        if not _same_stamp(row["stamp"], stamp):
            raise StampMismatch(
                f"A database {request.name} exists on {self._where}, but it does not carry our stamp.",
                database=request.name,
            )
        return bool(row["datallowconn"])

    # --- making -----------------------------------------------------------------------------------

    async def _ensure_database(self, request: DatabaseRequest) -> None:
        async with self._borrowed() as connection:
            template = await self._template(connection, request.installation_id, request.template)
            try:
                await connection.execute(
                    sql.SQL("create database {} template {} allow_connections false").format(
                        sql.Identifier(request.name), sql.Identifier(template)
                    )
                )
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                pass  # another worker, or an earlier call whose reply was lost; its stamp is looked at later
            except psycopg.errors.InvalidCatalogName:
                self._ready_templates.discard(template)
                raise DatabaseBusy(
                    f"The template {template} has vanished from {self._where}; it is built anew."
                ) from None

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
                for login in logins:
                    verifier = verifiers.get(login.key)
                    await self._ensure_login(connection, database, login, verifier, existing)
                if let_in:
                    await self._grant_database(connection, database, logins)

    @asynccontextmanager
    async def _changing_logins(self, name: str) -> AsyncIterator[Connection]:
        """A transaction in which nobody else changes the logins of that database: whoever works on
        the same database takes turns here; elsewhere they do not meet."""
        async with self._borrowed() as connection, connection.transaction():
            await connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,)
            )
            yield connection

    async def _ensure_login(
        self,
        connection: Connection,
        database: str,
        login: Login,
        verifier: str | None,
        existing: set[str],
    ) -> None:
        plain_name = login_name(database, login.key)
        name = sql.Identifier(plain_name)
        await connection.execute(
            sql.SQL("{} role {} {} connection limit {}").format(
                sql.SQL("alter" if plain_name in existing else "create"),
                name,
                sql.SQL("inherit" if login.inherits else "noinherit"),
                sql.Literal(login.connection_limit),
            )
        )
        if verifier is not None:
            await connection.execute(_let_log_in(name, verifier))
        if login.member_of:
            groups = sql.SQL(", ").join(sql.Identifier(group) for group in login.member_of)
            await connection.execute(sql.SQL("grant {} to {}").format(groups, name))
        for setting, values in _session_settings(login):
            await connection.execute(
                sql.SQL("alter role {} set {} = {}").format(
                    name, sql.Identifier(setting), sql.SQL(", ").join(map(sql.Literal, values))
                )
            )

    async def _open_database(self, connection: Connection, request: DatabaseRequest) -> None:
        """Stamp it, close it to everyone but its own logins, and only then open it."""
        await self._find_ours(connection, request)
        name = sql.Identifier(request.name)
        stamp = sql.Literal(_stamp(request.installation_id, database=str(request.database_id)))
        async with connection.transaction(), connection.pipeline():
            await connection.execute(sql.SQL("comment on database {} is {}").format(name, stamp))
            await connection.execute(sql.SQL("revoke all on database {} from public").format(name))
            await self._grant_database(connection, request.name, request.logins)
            await connection.execute(
                sql.SQL("alter database {} allow_connections true").format(name)
            )

    async def _grant_database(
        self, connection: Connection, database: str, logins: tuple[Login, ...]
    ) -> None:
        """Who may connect, and who may create. Made anew for every copy: privileges on a database
        are not copied with it."""
        granted = {
            _CONNECT: [login_name(database, login.key) for login in logins],
            _TEMPORARY: [login_name(database, login.key) for login in logins if login.temporary],
            _CREATE: _creators(database, logins),
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

    # --- templates --------------------------------------------------------------------------------

    async def _template(
        self, connection: Connection, installation_id: UUID, template: Template
    ) -> str:
        name = f"ghostcrm_template_{installation_id.hex[:8]}_{template.fingerprint[:16]}"
        if name in self._ready_templates:
            return name
        stamp = _stamp(installation_id, template=template.fingerprint)
        row = await self._find(connection, name)
        if row is None or not _same_stamp(row["stamp"], stamp):
            try:
                await connection.execute(POSTGRES["lock_template"], {"name": name})
            except psycopg.errors.LockNotAvailable:
                raise ToldToWait(
                    f"Another worker is still building the template {name} on {self._where}.",
                    wait_seconds=2.0,
                ) from None
            try:
                await self._build_template(connection, name, stamp, template)
            finally:
                await connection.execute(POSTGRES["unlock_template"], {"name": name})
        self._ready_templates.add(name)
        return name

    async def _build_template(
        self, connection: Connection, name: str, stamp: str, template: Template
    ) -> None:
        row = await self._find(connection, name)
        if row is not None and _same_stamp(row["stamp"], stamp):
            return  # another worker built it while this one waited for the lock
        identifier = sql.Identifier(name)
        if row is not None:
            if not row["is_ours"] or row["stamp"] is not None:
                raise StampMismatch(
                    f"A database {name} exists on {self._where}, but it is not our template.",
                    database=name,
                )
            # A builder died: the name holds our installation's id, and only we hold the lock.
            await _drop(connection, name)
        await self._create_closed(connection, name)
        try:
            async with self._connect(name) as inside:
                await template.build(inside)
        except BaseException:
            # When it cannot be dropped now, the next builder does it; the reason is what counts.
            with suppress(psycopg.Error):
                await _drop(connection, name)
            raise
        async with connection.transaction():
            await connection.execute(
                sql.SQL("comment on database {} is {}").format(identifier, sql.Literal(stamp))
            )
            await connection.execute(
                sql.SQL("alter database {} allow_connections false").format(identifier)
            )

    async def _create_closed(
        self, connection: Connection, name: str, source: str = "template0"
    ) -> None:
        """A database that only we can enter, empty unless it is a copy of something."""
        identifier = sql.Identifier(name)
        await connection.execute(
            sql.SQL("create database {} template {} allow_connections false").format(
                identifier, sql.Identifier(source)
            )
        )
        await connection.execute(
            sql.SQL("revoke all on database {} from public").format(identifier)
        )
        await connection.execute(
            sql.SQL("alter database {} allow_connections true").format(identifier)
        )


async def _drop(connection: Connection, database: str) -> None:
    """Drop a database of ours, with sessions that a killed builder has left in it. Not WITH (FORCE):
    that needs the right to end every session, autovacuum's too, which we have not; PostgreSQL sends
    autovacuum away by itself."""
    await connection.execute(POSTGRES["end_own_sessions"], {"name": database})
    await connection.execute(sql.SQL("drop database {}").format(sql.Identifier(database)))


def _let_log_in(role: sql.Identifier, verifier: str) -> sql.Composed:
    return sql.SQL("alter role {} login password {}").format(role, sql.Literal(verifier))


def _creators(database: str, logins: tuple[Login, ...]) -> list[str]:
    """Who makes schemas there. A role that several databases share may be among them: a privilege on
    a database is of use only to a session inside it, which only its own logins have."""
    return sorted(
        {login.acts_as or login_name(database, login.key) for login in logins if login.creates}
    )


def _session_settings(login: Login) -> list[tuple[str, tuple[str, ...]]]:
    """What the login's sessions begin with; several values for a setting that is a list."""
    settings: list[tuple[str, tuple[str, ...]]] = [
        (name, (value,)) for name, value in login.settings
    ]
    if login.search_path:
        settings.append(("search_path", login.search_path))
    if login.acts_as is not None:
        settings.append(("role", (login.acts_as,)))
    return settings


def login_name(database: str, key: str) -> str:
    """The name of a database's login; at most 63 bytes, as database names are 41."""
    return f"{database}_{key}"


def make_scram_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803), so that no statement and no server log ever
    holds the password itself. Takes a few milliseconds by design; our passwords are ASCII, so
    SASLprep leaves them as they are; any other raises ValueError."""
    if not password.isascii():
        raise ValueError("the password of a login must be ASCII")
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    encoded_salt, encoded_stored, encoded_server = parts
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded_salt}${encoded_stored}:{encoded_server}"


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


def _stamp(installation_id: UUID, **what: str) -> str:
    return json.dumps({"ghostcrm": {"installation": str(installation_id), **what}}, sort_keys=True)


def _same_stamp(seen: str | None, wanted: str) -> bool:
    try:
        return seen is not None and json.loads(seen) == json.loads(wanted)
    except json.JSONDecodeError:
        return False


def _is_as_wanted(row: dict[str, Any], login: Login) -> bool:
    wanted = {_as_stored(name, values) for name, values in _session_settings(login)}
    # An operator may have added others; none may make the login act as somebody else.
    seen = set(row["settings"])
    return (
        (row["rolcanlogin"] or login.password is None)
        and row["rolinherit"] == login.inherits
        and row["rolconnlimit"] == login.connection_limit
        and row["member_of"] == sorted(login.member_of)
        and wanted <= seen
        and all(setting in wanted for setting in seen if setting.startswith("role="))
    )


def _as_stored(name: str, values: tuple[str, ...]) -> str:
    """A setting as PostgreSQL keeps it: the names of a search path are identifiers."""
    if name == "search_path":
        values = tuple(
            value if value.isidentifier() and value.islower() else f'"{value}"' for value in values
        )
    return f"{name}={', '.join(values)}"
