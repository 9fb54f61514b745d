"""Fills a control database with clients and with all that a month of work for them has left behind.

Set-based, with the triggers off, so that a hundred thousand clients take a minute or two. What the triggers
would have done is in the rows. The same number of clients gives the same rows, but for their times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from ghostcrm_provisioning.named_sql import NamedSql

HISTORY = NamedSql(__package__, "control_history.sql")

_STATEMENTS = (
    "fill_servers",
    "fill_people",
    "fill_clients",
    "fill_words",
    "fill_admins",
    "fill_databases",
    "fill_verdicts",
    "fill_quarantine",
    "fill_runs",
    "fill_steps",
    "fill_attempts",
    "fill_audit",
)
# The tables whose triggers are off meanwhile.
_TABLES = ("clients", "client_admins", "client_databases", "runs", "steps")


def fill_control_database(
    connection: psycopg.Connection[Any],
    *,
    clients: int,
    changes: int,
    on_progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Fill a control database that has no clients yet.

    Args:
        connection: as the owner of its tables, with our schema in its search path, in autocommit mode.
        changes: how often each client's plan was changed; each is a run.
        on_progress: is told what is written next.
    """
    with connection.transaction():
        _switch_triggers("disable", connection)
        for name in _STATEMENTS:
            on_progress(name.removeprefix("fill_"))
            connection.execute(HISTORY[name], {"clients": clients, "changes": changes})
        _switch_triggers("enable", connection)
    on_progress("statistics")
    connection.execute("vacuum (analyze)")


def _switch_triggers(switch: str, connection: psycopg.Connection[Any]) -> None:
    for table in _TABLES:
        connection.execute(
            sql.SQL("alter table {} {} trigger user").format(sql.Identifier(table), sql.SQL(switch))
        )
