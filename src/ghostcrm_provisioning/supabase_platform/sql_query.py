"""Runs SQL as the Management API does: as the project's owner, answering rows in JSON's types.

Several statements without parameters are one transaction, as PostgreSQL's simple protocol has it; what
comes back are the rows of the last one that has any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncRawCursor
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg.types.string import TextLoader

from ghostcrm_provisioning.providers.provider import Connection
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

# Beyond it a number of JavaScript is not exact.
_LARGEST_EXACT = 2**53 - 1
# These are answered as PostgreSQL writes them.
_AS_TEXT = (
    "numeric", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "bytea",
    "inet", "cidr", "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange",
    "int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange",
    "tstzmultirange",
)  # fmt: skip


async def run_query(
    connection: Connection, text: str, parameters: Sequence[Any] = (), *, read_only: bool = False
) -> list[dict[str, Any]]:
    """The rows of the last statement that has any.

    Args:
        parameters: for ``$1``, ``$2`` …

    Raises:
        Refusal: 400, PostgreSQL refused it; its message as Supabase shows it.
    """
    if "\0" in text:
        # It would be cut off there, and the rest would not be run.
        raise Refusal(400, "Failed to run sql query: it holds a NUL byte")
    for name in _AS_TEXT:
        connection.adapters.register_loader(name, TextLoader)
    if read_only:
        await connection.execute("set session characteristics as transaction read only")
    cursor: AsyncRawCursor[DictRow] = AsyncRawCursor(connection, row_factory=dict_row)
    rows: list[DictRow] = []
    try:
        async with cursor:
            await cursor.execute(text.encode(), [_sent(each) for each in parameters] or None)
            while True:
                rows = await cursor.fetchall() if cursor.description else rows
                if not cursor.nextset():
                    break
    except psycopg.Error as error:
        raise refused(error) from error
    return [{name: _answered(value) for name, value in row.items()} for row in rows]


def refused(error: psycopg.Error) -> Refusal:
    """What PostgreSQL said, as the Management API passes it on."""
    said = error.diag
    if said.sqlstate is None and not isinstance(error, psycopg.OperationalError):
        # The driver's own: a value that cannot be sent, a COPY.
        return Refusal(400, f"Failed to run sql query: {error}")
    if said.sqlstate is None:
        return Refusal(544, "Connection terminated due to connection timeout")
    lines = [f"{said.severity}: {said.sqlstate}: {said.message_primary}"]
    # psycopg's text goes on with the line and the place in it, as psql's does.
    lines += [line for line in str(error).splitlines()[1:] if line.strip()]
    return Refusal(400, "Failed to run sql query: " + "\n".join(lines) + "\n")


def _sent(value: Any) -> Any:
    """A parameter as text of unknown type, so that PostgreSQL gives it the one that is needed."""
    if isinstance(value, dict | list):
        return Jsonb(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)


def _answered(value: Any) -> Any:
    match value:
        case int() if not isinstance(value, bool) and abs(value) > _LARGEST_EXACT:
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
        case list():
            return [_answered(each) for each in value]
        case tuple() | memoryview() | bytes():
            return str(value)
    return value
