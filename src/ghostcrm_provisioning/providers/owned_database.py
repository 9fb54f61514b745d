"""A database whose owner is the one login that we were given: a project's at Supabase, or one that was there.

Where the owner may make logins (Supabase's ``postgres`` may), the application gets one of its own, which
policies bind. Where it may not, the application's connection is the owner's, which begins as
``authenticated``: bound by policies for as long as nobody resets it. That is said wherever it is given out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import QueryCanceled
from psycopg.rows import dict_row

from ghostcrm_provisioning.errors import DatabaseBusy, DatabaseRejected, GhostcrmError, NotOffered
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers.postgres_logins import (
    give_password,
    let_log_in,
    make_scram_verifier,
)
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.providers.provider import Connection, Login

OWNED = NamedSql(__package__, "owned_database.sql")

OWNER = "owner"
APPLICATION = "app"
APPLICATION_LOGIN = "ghostcrm_app"
_OURS = "ghostcrm provider"
# Whom the owner's connection begins as, where these have no login of their own.
_BEGINS_AS = {APPLICATION: "authenticated", "service": "service_role"}
# The owners' sessions that this process has open: host, port, and the process of the server that serves it.
_SESSIONS: set[tuple[str, int, int]] = set()
_LINGERING_SECONDS, _LOOK_AGAIN_SECONDS = 5.0, 0.1
_TRIES_TO_BEGIN = 100
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Place:
    """Where a database is. ``tenant`` is what a pooler wants after the name of every login.

    Attributes:
        certificates: a file with whom to trust; without one, TLS is demanded, not proven.
    """

    host: str
    port: int
    database: str
    owner: str
    tenant: str = ""
    certificates: str | None = None

    @property
    def sslmode(self) -> str:
        if self.host in _LOCAL or self.host.startswith("/"):
            return "prefer"
        return "require" if self.certificates is None else "verify-full"

    def url(self, login: str, password: str) -> str:
        """How a login connects. Holds the password."""
        return connection_url(
            host=self.host,
            port=str(self.port),
            database=self.database,
            user=f"{login}{self.tenant}",
            password=password,
            sslmode=self.sslmode,
        )


@asynccontextmanager
async def log_in(
    place: Place, login: str, password: str, *, where: str
) -> AsyncIterator[Connection]:
    """A connection of that login, in autocommit mode.

    Raises:
        DatabaseRejected: the password is not accepted; ServerUnreachable, DatabaseBusy, ToldToWait.
    """
    with translating(where):
        connection: Connection = await AsyncConnection.connect(
            make_conninfo(place.url(login, password), **_trust_in(place)),
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=10,
            application_name=_OURS,
        )
        async with connection:
            yield connection


def _trust_in(place: Place) -> dict[str, str]:
    """For libpq. Who is not proven to be Supabase's server is given no password in clear text, though he asks for
    it; with SCRAM, he learns nothing that opens the database."""
    if place.certificates is None:
        return {"require_auth": "!password"}
    return {"sslrootcert": place.certificates}


async def _session_of(connection: Connection) -> int:
    """Asked of the server: what a pooler tells a driver is a number of its own."""
    row = await (await connection.execute(OWNED["own_session"])).fetchone()
    return int(row["pid"]) if row else 0


@asynccontextmanager
async def connect_as_owner(place: Place, password: str, *, where: str) -> AsyncIterator[Connection]:
    """The owner's connection, in autocommit mode, with our time-outs.

    Raises:
        As :func:`log_in`.
    """
    async with log_in(place, place.owner, password, where=where) as connection:
        with translating(where):
            await begin_as_ourselves(connection)
            session = (place.host, place.port, await _session_of(connection))
        _SESSIONS.add(session)
        try:
            yield connection
        finally:
            _SESSIONS.discard(session)


async def begin_as_ourselves(connection: Connection, *, but: tuple[str, ...] = ()) -> None:
    """With our time-outs and search path, as the login that we are, whatever was set for its sessions.

    Args:
        but: settings that stay as they were set.
    """
    await _lift_their_timeout(connection)
    await connection.execute(OWNED["undo_their_settings"], {"but": list(but)})


async def _lift_their_timeout(connection: Connection) -> None:
    """Whoever owns the database may have left each statement a millisecond. The SET that lifts it takes less,
    but not always on a busy machine: it is tried until it was quick enough."""
    for is_last in [*[False] * (_TRIES_TO_BEGIN - 1), True]:
        try:
            await connection.execute(OWNED["begin_as_ourselves"])
        except QueryCanceled:
            if is_last:
                raise
        else:
            return


async def find_connection_limit(connection: Connection) -> int | None:
    """Of the application's login; None where there is none."""
    row = await (
        await connection.execute(OWNED["find_login"], {"login": APPLICATION_LOGIN})
    ).fetchone()
    return None if row is None else int(row["rolconnlimit"])


async def ensure_application_login(connection: Connection, login: Login) -> bool:
    """Make the application's login as it is described; False where the owner may not."""
    if login.password is None:
        raise ValueError("a login is made with its password")
    row = await (await connection.execute(OWNED["own_rights"])).fetchone()
    if row is None or not row["makes_logins"]:
        return False
    verifier = await asyncio.to_thread(make_scram_verifier, login.password)
    name = sql.Identifier(APPLICATION_LOGIN)
    try:
        async with connection.transaction():
            is_there = await find_connection_limit(connection) is not None
            await connection.execute(
                sql.SQL("{} role {} inherit connection limit {}").format(
                    sql.SQL("alter" if is_there else "create"),
                    name,
                    sql.Literal(login.connection_limit),
                )
            )
            await connection.execute(let_log_in(name, verifier))
            # In the order of names, and last: as all do that grant what a whole server shares.
            groups = sql.SQL(", ").join(map(sql.Identifier, sorted(login.member_of)))
            await connection.execute(sql.SQL("grant {} to {}").format(groups, name))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


async def set_application_password(connection: Connection, password: str) -> None:
    """Its login, which is there, has another password from now on; nothing else about it changes."""
    verifier = await asyncio.to_thread(make_scram_verifier, password)
    await connection.execute(give_password(sql.Identifier(APPLICATION_LOGIN), verifier))


async def lets_in(place: Place, login: str, password: str, *, where: str) -> bool:
    """Whether that login is let in, or would be if fewer were there.

    Raises:
        TransientFailure: it cannot be told.
    """
    try:
        async with log_in(place, login, password, where=where):
            return True
    except DatabaseRejected:
        return False
    except DatabaseBusy as full:
        # The limits of a login and of a database are looked at after its password, the server's before.
        if "too many connections for " in full.message:
            return True
        raise


async def limit_application(connection: Connection, limit: int) -> None:
    """How many connections the application's login may have."""
    await connection.execute(
        sql.SQL("alter role {} connection limit {}").format(
            sql.Identifier(APPLICATION_LOGIN), sql.Literal(limit)
        )
    )


async def shut_application_out(connection: Connection) -> None:
    """Its login may not log in any more, if it has one."""
    if await find_connection_limit(connection) is not None:
        await connection.execute(
            sql.SQL("alter role {} nologin").format(sql.Identifier(APPLICATION_LOGIN))
        )


async def end_sessions(
    place: Place, connection: Connection, keys: Collection[str] = (OWNER, APPLICATION)
) -> None:
    """End what the application and others with the owner's login have open, or one of the two; not our own."""
    parameters = await _logins(place, connection)
    owner, application = parameters["logins"]
    names = [name for key, name in ((OWNER, owner), (APPLICATION, application)) if key in keys]
    await connection.execute(OWNED["end_sessions"], parameters | {"logins": names})


async def others_inside(
    place: Place, connection: Connection, *, also: Collection[str] = ()
) -> list[str]:
    """With which logins somebody else is in there: the owner's, the application's, and those that are named.
    Waits for sessions that may be ours and about to end."""
    parameters = await _logins(place, connection)
    parameters["logins"] = [*parameters["logins"], *also]
    until = time.monotonic() + _LINGERING_SECONDS
    while True:
        rows = await (await connection.execute(OWNED["others_inside"], parameters)).fetchall()
        if not all(row["is_called_ours"] for row in rows) or time.monotonic() > until or not rows:
            return [str(row["login"]) for row in rows]
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def application_may_log_in(connection: Connection) -> bool:
    """Whether it has a login of its own that is let in."""
    row = await (
        await connection.execute(OWNED["find_login"], {"login": APPLICATION_LOGIN})
    ).fetchone()
    return row is not None and bool(row["rolcanlogin"])


async def url_of(
    place: Place, login: Login, *, owner_password: str, has_application_login: bool, where: str
) -> str:
    """How ``login`` connects. Holds the password.

    Raises:
        NotOffered: there is no such login.
        DatabaseRejected, ServerUnreachable …: whether a connection begins as it should, cannot be seen.
    """
    as_owner = place.url(place.owner, owner_password)
    if login.key == OWNER:
        return as_owner
    if login.key == APPLICATION and has_application_login:
        return place.url(APPLICATION_LOGIN, login.password or "")
    role = _BEGINS_AS.get(login.key)
    if role is None:
        raise not_offered(login.key)
    url = f"{as_owner}{'&' if '?' in as_owner else '?'}options=-c%20role%3D{role}"
    # A pooler may leave options out: what would then be given out is the owner.
    if await _current_user(make_conninfo(url, **_trust_in(place)), where=where) != role:
        raise not_offered(login.key)
    return url


async def _current_user(url: str, *, where: str) -> str:
    with translating(where):
        connection = await AsyncConnection.connect(
            url, autocommit=True, connect_timeout=10, application_name=_OURS
        )
        async with connection:
            row = await (await connection.execute("select current_user::text")).fetchone()
    return str(row[0]) if row else ""


def not_offered(key: str) -> GhostcrmError:
    """For a login that such a database has not, with what there is instead."""
    instead = {
        "app": "Use the project's URL with its publishable (anon) key, and the token of who has signed in.",
        "service": "Use the project's URL with its secret (service role) key.",
        "auth": "Supabase runs Auth itself; administer it with the secret (service role) key.",
        "api": "Supabase runs PostgREST itself, under the project's URL.",
    }
    return NotOffered(
        f"This client's database has no login {key!r}.",
        next_step=instead.get(key, "Use --role app or --role owner."),
    )


async def _logins(place: Place, connection: Connection) -> dict[str, Any]:
    row = await (await connection.execute(OWNED["own_rights"])).fetchone()
    return {
        "logins": [str(row["name"]) if row else "", APPLICATION_LOGIN],
        "ours": _OURS,
        "own": [pid for host, port, pid in _SESSIONS if (host, port) == (place.host, place.port)],
    }
