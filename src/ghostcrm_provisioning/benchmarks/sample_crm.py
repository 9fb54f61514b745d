"""Fills a client database with a CRM that has been used for three years.

Set-based, with the triggers off, so that two hundred thousand contacts take a minute or so. What the
triggers would have done is in the rows. The same number of contacts gives the same CRM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from ghostcrm_provisioning.client_database.roles import AUTH_ROLE, OWNER_ROLE
from ghostcrm_provisioning.named_sql import NamedSql

FILL = NamedSql(__package__, "fill.sql")

# In this order; the tables are those whose triggers are off meanwhile.
_STATEMENTS = (
    "profiles",
    "teams",
    "memberships",
    "companies",
    "contacts",
    "deals",
    "activities",
    "appointments",
    "invoices",
)
_TABLES = (
    "profiles",
    "teams",
    "team_memberships",
    "companies",
    "contacts",
    "deals",
    "activities",
    "appointments",
    "invoices",
)
FEWEST_CONTACTS = 20_000


def fill_client_database(
    connection: psycopg.Connection[Any],
    contacts: int,
    *,
    on_progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Fill an empty client database.

    Args:
        connection: as an administrator that may become the schema's owner, in autocommit mode; ends as
            it began.
        contacts: how many; the other records come in proportion.
        on_progress: is told what is written next.
    """
    parameters = {"contacts": contacts}
    with connection.transaction():
        _become(connection, AUTH_ROLE)
        connection.execute(FILL["people"], parameters)
        _become(connection, OWNER_ROLE)
        _switch_triggers("disable", connection)
        for name in _STATEMENTS:
            on_progress(name.replace("_", " "))
            connection.execute(FILL[name], parameters)
        _switch_triggers("enable", connection)
    on_progress("statistics")
    for table in _TABLES:
        # What vacuum and analyze do by themselves, a while after such a load. They cannot run inside
        # a transaction, and are the owner's to ask for.
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER_ROLE)))
        connection.execute(sql.SQL("vacuum (analyze) {}").format(sql.Identifier("public", table)))
        connection.execute("reset role")


def _become(connection: psycopg.Connection[Any], role: str) -> None:
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))


def _switch_triggers(switch: str, connection: psycopg.Connection[Any]) -> None:
    for table in _TABLES:
        connection.execute(
            sql.SQL("alter table {} {} trigger user").format(
                sql.Identifier("public", table), sql.SQL(switch)
            )
        )
