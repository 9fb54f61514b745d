"""Logins that a project's owner has made beside ours: shut out while the project is closed, and let in again.

At Supabase the owner may make logins, each with a password of its own. Those of Supabase's services are none of
ours to change; what is left is the client's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.owned_database import APPLICATION_LOGIN
from ghostcrm_provisioning.providers.provider import Connection
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.supabase_roles import PLATFORM_ROLES, REQUEST_ROLES

OTHER_LOGINS = NamedSql(__package__, "other_logins.sql")

_KNOWN = [*PLATFORM_ROLES, *REQUEST_ROLES, APPLICATION_LOGIN]


@dataclass(frozen=True)
class OtherLogin:
    """A role that may enter the database, if it may log in at all.

    Attributes:
        is_surely_theirs: of the client's making; otherwise, whatever we are not allowed to change is Supabase's.
    """

    name: str
    may_log_in: bool
    is_surely_theirs: bool


async def find_others(connection: Connection) -> list[OtherLogin]:
    """Those that the owner, whose connection it is, has made; none where it may not make any."""
    rows = await (
        await connection.execute(OTHER_LOGINS["find_others"], {"known": _KNOWN})
    ).fetchall()
    return [OtherLogin(row["login"], row["may_log_in"], row["is_surely_theirs"]) for row in rows]


async def shut_out(connection: Connection, logins: Collection[OtherLogin]) -> None:
    """None of them may log in any more, as far as we may change that; their sessions are ended."""
    for login in logins:
        if login.may_log_in and (left := await _change(connection, login.name, "nologin")):
            get_logger("supabase").warning("login_left", login=login.name, reason=left)
    for login in logins:
        await _end_sessions(connection, login.name)


async def let_in(connection: Connection, names: Collection[str]) -> None:
    """Those that were shut out, and are still there, may log in as before."""
    for login in await find_others(connection):
        if login.name not in names or login.may_log_in:
            continue
        if left := await _change(connection, login.name, "login"):
            get_logger("supabase").warning("login_not_let_in", login=login.name, reason=left)


async def still_open(connection: Connection, logins: Collection[OtherLogin]) -> list[str]:
    """Which of them may still log in: all that may, but for those that prove to be Supabase's own."""
    found = []
    for login in logins:
        if login.may_log_in:
            refused = await _change(connection, login.name, "nologin", undo=True)
            if refused is None or (refused == "not permitted" and login.is_surely_theirs):
                found.append(login.name)
    return found


async def _change(
    connection: Connection, name: str, to: str, *, undo: bool = False
) -> Literal["not permitted", "reserved", "dropped"] | None:
    """Why it could not be changed; None when it was, or could be."""
    try:
        async with connection.transaction(force_rollback=undo):
            await connection.execute(
                sql.SQL("alter role {} {}").format(sql.Identifier(name), sql.SQL(to))
            )
    except psycopg.errors.ReservedName:
        return "reserved"  # by Supabase (its extension supautils), for its own services
    except psycopg.errors.InsufficientPrivilege:
        return "not permitted"
    except psycopg.errors.UndefinedObject:
        return "dropped"  # meanwhile
    return None


async def _end_sessions(connection: Connection, name: str) -> None:
    """Whoever may not, becomes a member for that long: sessions may be ended by members of their role."""
    ending = OTHER_LOGINS["end_sessions_of"]
    try:
        await connection.execute(ending, {"login": name})
    except psycopg.errors.InsufficientPrivilege:
        try:
            async with connection.transaction(force_rollback=True):
                await connection.execute(
                    sql.SQL("grant {} to session_user").format(sql.Identifier(name))
                )
                await connection.execute(ending, {"login": name})
        except psycopg.Error as problem:
            # Whether somebody is still in there is looked at afterwards.
            get_logger("supabase").warning("sessions_left", login=name, sqlstate=problem.sqlstate)
