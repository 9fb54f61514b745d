"""What a client database has in its schema ``public``, as its own catalog says: tables, columns,
constraints, indexes, policies, and the functions that signed-in users may execute.

Reads and changes nothing. How it is shown is not known here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ghostcrm_provisioning.named_sql import NamedSql

SCHEMA = NamedSql(__package__, "schema_description.sql")


@dataclass(frozen=True)
class Column:
    """A column; ``expression`` is its default or, when ``computed``, what it is computed from."""

    name: str
    type: str
    nullable: bool
    computed: bool
    numbered: bool
    expression: str | None
    comment: str
    insertable: bool
    updatable: bool


@dataclass(frozen=True)
class Constraint:
    """A constraint. ``kind`` is p (primary key), u (unique), f (foreign key), c (check), x (exclusion);
    ``target`` the table that a foreign key refers to."""

    name: str
    kind: str
    definition: str
    target: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """An index that was made for itself."""

    name: str
    is_unique: bool
    definition: str


@dataclass(frozen=True)
class Policy:
    """A row level security policy: what rows must fulfil before, and after, ``operation``."""

    name: str
    operation: str
    roles: tuple[str, ...]
    condition: str | None
    check_condition: str | None


@dataclass(frozen=True)
class Table:
    """A table or a view."""

    name: str
    is_view: bool
    comment: str
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[Index, ...]
    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Function:
    """A function that signed-in users may execute."""

    name: str
    arguments: str
    argument_types: str
    result: str
    comment: str


@dataclass(frozen=True)
class SchemaDescription:
    """The whole of it, by name."""

    tables: tuple[Table, ...]
    functions: tuple[Function, ...]


async def describe_schema(connection: AsyncConnection[DictRow]) -> SchemaDescription:
    """Read the catalog in one snapshot. The connection is in autocommit mode."""
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        # So that names are written as people write them, whoever is connected.
        await connection.execute("set local search_path = public")
        tables = await (await connection.execute(SCHEMA["list_tables"])).fetchall()
        columns = await (await connection.execute(SCHEMA["list_columns"])).fetchall()
        constraints = await (await connection.execute(SCHEMA["list_constraints"])).fetchall()
        indexes = await (await connection.execute(SCHEMA["list_indexes"])).fetchall()
        policies = await (await connection.execute(SCHEMA["list_policies"])).fetchall()
        functions = await (await connection.execute(SCHEMA["list_functions"])).fetchall()
    columns_of, constraints_of = _by_table(columns), _by_table(constraints)
    indexes_of, policies_of = _by_table(indexes), _by_table(policies)
    return SchemaDescription(
        tables=tuple(
            Table(
                **table,
                columns=tuple(Column(**row) for row in columns_of[table["name"]]),
                constraints=tuple(
                    Constraint(**row | {"columns": tuple(row["columns"])})
                    for row in constraints_of[table["name"]]
                ),
                indexes=tuple(Index(**row) for row in indexes_of[table["name"]]),
                policies=tuple(
                    Policy(**row | {"roles": tuple(row["roles"])})
                    for row in policies_of[table["name"]]
                ),
            )
            for table in tables
        ),
        functions=tuple(Function(**row) for row in functions),
    )


def _by_table(rows: list[DictRow]) -> defaultdict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["table_name"]].append(
            {name: value for name, value in row.items() if name != "table_name"}
        )
    return found
