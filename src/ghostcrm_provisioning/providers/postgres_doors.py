"""The doors of databases on a PostgreSQL server: closed, opened for one, and knocked at.

A door is the privilege CONNECT. It is taken away rather than the logins themselves: so what a login was
(enabled or not, its password) need not be remembered, and whoever was let in by mistake is kept out as
well. Stamps are looked at by :mod:`ghostcrm_provisioning.providers.postgres`, which calls this.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from ghostcrm_provisioning.errors import DatabaseClosed, WrongPassword
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.postgres_errors import from_sqlstate, translated
from ghostcrm_provisioning.providers.provider import Connection, Knock

DOORS = NamedSql(__package__, "postgres_doors.sql")

# Whoever was just being let in when the door was closed is seen at the second look.
_LOOKS_FOR_SESSIONS = 3
_KNOCK_TIMEOUT_SECONDS = 10.0
_REFUSALS = frozenset(
    {
        "42501",  # insufficient_privilege: no CONNECT on this database
        "28000",  # invalid_authorization_specification: pg_hba.conf, or a login that may not log in
        "55000",  # object_not_in_prerequisite_state: the database takes no connections at all
        "3D000",  # invalid_catalog_name: there is no such database
    }
)
_TOO_MANY = "53300"
_WRONG_PASSWORD = "28P01"  # noqa: S105 - a SQLSTATE


async def observe_closed(connection: Connection, name: str) -> Observation:
    """Whether nobody but the database's owner may enter it, or is in it."""
    row = await (await connection.execute(DOORS["observe_doors"], {"name": name})).fetchone()
    if row is None:
        return Observation(False, "the database is not there")
    if row["admitted"]:
        return Observation(False, f"{', '.join(row['admitted'])} may still enter it")
    if row["present"]:
        return Observation(False, f"{', '.join(row['present'])} is still connected to it")
    return Observation(True, "nobody may enter it, and nobody is in it")


async def refuse_closed(connection: Connection, name: str) -> None:
    """Raises DatabaseClosed when nobody may enter: then no login is let in beside the others."""
    row = await (await connection.execute(DOORS["observe_doors"], {"name": name})).fetchone()
    if row is not None and not row["admitted"]:
        raise DatabaseClosed(f"The database {name} is closed: no login is let in.", database=name)


async def end_sessions(connection: Connection, name: str) -> None:
    """End the sessions that are open in a database that nobody may enter any more."""
    for _ in range(_LOOKS_FOR_SESSIONS):
        row = await (await connection.execute(DOORS["observe_doors"], {"name": name})).fetchone()
        if row is None or not row["present"]:
            return
        for role in row["present"]:
            await end_sessions_of(connection, name, role)


async def take_away(connection: Connection, name: str) -> None:
    """Take every privilege on the database from everybody but its owner."""
    async with connection.transaction():
        row = await (await connection.execute(DOORS["observe_doors"], {"name": name})).fetchone()
        for role in sorted({"public", *(row["admitted"] if row else ())}):
            whom = sql.SQL("public") if role == "public" else sql.Identifier(role)
            await connection.execute(
                sql.SQL("revoke all on database {} from {}").format(sql.Identifier(name), whom)
            )


async def admit(
    connection: Connection, name: str, role: str, let_log_in: sql.Composed, *, temporary: bool
) -> None:
    """Let one role in; ``let_log_in`` gives it its password, in the same transaction."""
    privileges = sql.SQL("connect, temporary" if temporary else "connect")
    async with connection.transaction():
        await connection.execute(let_log_in)
        await connection.execute(
            sql.SQL("grant {} on database {} to {}").format(
                privileges, sql.Identifier(name), sql.Identifier(role)
            )
        )


async def end_sessions_of(connection: Connection, name: str, role: str) -> None:
    """End one role's sessions. Only its members may: so become one for the moment, in a transaction
    that is not kept (that a session was ended is)."""
    parameters = {"name": name, "role": role}
    try:
        async with connection.transaction(force_rollback=True):
            await connection.execute(
                sql.SQL("grant {} to current_user").format(sql.Identifier(role))
            )
            await connection.execute(DOORS["end_sessions"], parameters)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidGrantOperation):
        # Not one of our logins. Where we may end it all the same, we do; else it is seen to be there.
        try:
            await connection.execute(DOORS["end_sessions"], parameters)
        except psycopg.errors.InsufficientPrivilege:
            return


async def lets_in(url: str, *, where: str) -> bool:
    """Whether whoever comes by ``url`` is let in, or would be if fewer were there. asyncpg, as in :func:`knock`.

    Raises:
        TransientFailure: it cannot be told.
    """
    import asyncpg  # noqa: PLC0415 - slow to load, and only this needs it

    try:
        connection = await asyncpg.connect(
            dsn=url,
            timeout=_KNOCK_TIMEOUT_SECONDS,
            server_settings={"application_name": "ghostcrm provider"},
        )
    except asyncpg.PostgresError as refused:
        sqlstate, said = str(refused.sqlstate), str(refused.message)
        if sqlstate == _WRONG_PASSWORD or sqlstate in _REFUSALS:
            return False
        # The limits of a login and of a database are looked at after its password, the server's before.
        if sqlstate == _TOO_MANY and said.startswith("too many connections for "):
            return True
        raise from_sqlstate(sqlstate, said, where=where) from refused
    except (OSError, TimeoutError, asyncpg.InterfaceError) as lost:
        raise translated(lost, where=where) from lost
    await connection.close(timeout=_KNOCK_TIMEOUT_SECONDS)
    return True


async def knock(url: str, *, at: str, where: str) -> Knock:
    """Try to enter by ``url``. asyncpg, for it tells the SQLSTATE of a refusal; libpq does not.

    Raises:
        WrongPassword: the password was not accepted.
        TransientFailure: it cannot be told.
    """
    import asyncpg  # noqa: PLC0415 - slow to load, and only a knock needs it

    try:
        connection = await asyncpg.connect(
            dsn=url,
            timeout=_KNOCK_TIMEOUT_SECONDS,
            command_timeout=_KNOCK_TIMEOUT_SECONDS,
            server_settings={"application_name": "ghostcrm provider"},
        )
    except asyncpg.PostgresError as refused:
        sqlstate = str(refused.sqlstate)
        said = str(refused.message)
        if sqlstate in _REFUSALS:
            return Knock(f"{said} ({sqlstate})")
        if sqlstate == _WRONG_PASSWORD:
            raise WrongPassword(f"{said} on {where} ({sqlstate}).") from refused
        raise from_sqlstate(sqlstate, said, where=where) from refused
    except (OSError, TimeoutError, asyncpg.InterfaceError) as lost:
        raise translated(lost, where=where) from lost
    try:
        rows = await connection.fetch(DOORS["rights_inside"])
    except asyncpg.PostgresError as problem:
        raise from_sqlstate(str(problem.sqlstate), str(problem.message), where=at) from problem
    except (OSError, TimeoutError, asyncpg.InterfaceError) as lost:
        raise translated(lost, where=where) from lost
    finally:
        await connection.close(timeout=_KNOCK_TIMEOUT_SECONDS)
    return Knock(None, tuple(str(row["rights"]) for row in rows))
