"""The one place where errors of psycopg become errors of this system.

What may pass by itself is told from what will not by the SQLSTATE (PostgreSQL documentation,
appendix A). The message that PostgreSQL sent is kept, its DETAIL is not: it can quote row values.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool

from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    DatabaseRejected,
    GhostcrmError,
    ServerUnreachable,
    ToldToWait,
    UnexpectedFailure,
)

_COMING_UP = "57P03"  # cannot_connect_now
_UNREACHABLE = frozenset(
    {
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
    }
)
_BUSY = frozenset(
    {
        "25006",  # read_only_sql_transaction: a failover, or a full disk on Supabase
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55006",  # object_in_use: someone is connected to the template
        "55P03",  # lock_not_available
        "57014",  # query_canceled: a time-out of ours
        "53300",  # too_many_connections
        "XX000",  # internal_error: "tuple concurrently updated" among others
    }
)
_UNDONE = frozenset({"40001", "40P01"})
_SAYS_CAME_BETWEEN = ("tuple concurrently updated", "tuple concurrently deleted")
_BUSY_CLASSES = frozenset({"53", "58"})  # insufficient resources, system error

# While a connection is made, libpq passes on what the server said, but not its SQLSTATE. A server
# that speaks another language than English is merely unreachable then, which is true as well.
_SAYS_COMING_UP = re.compile(
    r"FATAL:\s+the database system is (?:starting up|shutting down|in recovery mode"
    r"|not (?:yet )?accepting connections)"
)
_SAYS_FULL = re.compile(
    r"FATAL:\s+(?:sorry, too many clients|too many connections|remaining connection slots)"
)
_SAYS_NO = re.compile(
    r"FATAL:\s+(?:password authentication failed|no pg_hba\.conf entry|permission denied for database"
    r"|(?:database|role) \".*\" does not exist)"
)
_NETWORK_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        "ENETDOWN",
        "ENETUNREACH",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EADDRNOTAVAIL",
        "ENOTCONN",
    )
    if hasattr(errno, name)
)


def translated(error: BaseException, *, where: str) -> GhostcrmError:
    """``error`` as one of ours. ``where`` completes the sentence "… on <where>"."""
    if isinstance(error, GhostcrmError):
        return error
    if isinstance(error, psycopg_pool.PoolTimeout):
        return DatabaseBusy(f"No connection to {where} was free in time.")
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return DatabaseBusy(f"{where} did not answer in time.")
    if isinstance(error, psycopg.Error):
        return _translated_psycopg(error, where)
    if isinstance(error, ConnectionError | socket.gaierror) or (
        isinstance(error, OSError) and error.errno in _NETWORK_ERRNOS
    ):
        said = error.strerror if isinstance(error, socket.gaierror) else _said_by_system(error)
        return ServerUnreachable(f"{where} cannot be reached: {said}.")
    if isinstance(error, OSError):
        # A file, not a server: a full disk, a missing permission.
        return UnexpectedFailure(
            f"{_said_by_system(error)} on {where}.", exception=type(error).__name__
        )
    # The text of an unforeseen error may hold anything, a secret too: the log's traceback is for it.
    return UnexpectedFailure(f"{type(error).__name__} on {where}.", exception=type(error).__name__)


def _said_by_system(error: OSError) -> str:
    """The system's sentence for the error's number; the error's own text may hold anything."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _translated_psycopg(error: psycopg.Error, where: str) -> GhostcrmError:
    sqlstate = error.sqlstate
    said = (error.diag.message_primary or "").strip()
    if sqlstate is None:
        if isinstance(error, psycopg.OperationalError):
            # libpq's text names host and port, never the password.
            first_line = (str(error).strip().splitlines() or ["no answer"])[0]
            if _SAYS_COMING_UP.search(first_line):
                return ToldToWait(f"{where} is coming up: {first_line}.", wait_seconds=1.0)
            if _SAYS_FULL.search(first_line):
                return DatabaseBusy(f"{where} takes no more connections: {first_line}.")
            if _SAYS_NO.search(first_line):
                return DatabaseRejected(
                    f"{where} does not let us in: {first_line}.",
                    next_step="Check user, password and database in the URL, and pg_hba.conf.",
                )
            return ServerUnreachable(f"{where} does not answer: {first_line}.")
        return UnexpectedFailure(f"{type(error).__name__} on {where}.")
    return from_sqlstate(sqlstate, said, where=where)


def from_sqlstate(sqlstate: str, said: str, *, where: str) -> GhostcrmError:
    """What PostgreSQL said, as an error of ours; for a driver that is not psycopg."""
    if sqlstate == _COMING_UP:
        return ToldToWait(f"{where} is coming up: {said}.", wait_seconds=1.0)
    sentence = f"{said} on {where} ({sqlstate})"
    if sqlstate in _UNREACHABLE or sqlstate.startswith("08"):
        return ServerUnreachable(sentence, sqlstate=sqlstate)
    if sqlstate in _BUSY or sqlstate[:2] in _BUSY_CLASSES:
        return DatabaseBusy(sentence, sqlstate=sqlstate)
    return DatabaseRejected(sentence, sqlstate=sqlstate)


def was_undone(error: BaseException) -> bool:
    """Whether PostgreSQL gave a whole transaction up because another one came between: nothing of it
    was done, and the same again may well succeed at once. An error of ours, or one of psycopg."""
    sqlstate: object
    if isinstance(error, psycopg.Error):
        sqlstate, said = error.sqlstate, error.diag.message_primary or ""
    elif isinstance(error, DatabaseBusy):
        sqlstate, said = error.details.get("sqlstate"), error.message
    else:
        return False
    # Two that change one row of a catalog get no better error than this one.
    return sqlstate in _UNDONE or (sqlstate == "XX000" and said.startswith(_SAYS_CAME_BETWEEN))


@contextmanager
def translating(where: str) -> Iterator[None]:
    """Whatever PostgreSQL or the network raises inside leaves as an error of ours."""
    try:
        yield
    except GhostcrmError:
        raise
    except (psycopg.Error, psycopg_pool.PoolTimeout, OSError) as error:
        raise translated(error, where=where) from error
