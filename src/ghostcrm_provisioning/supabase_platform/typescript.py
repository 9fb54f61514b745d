"""TypeScript types of a project's schemas, from the catalog, in the shape that supabase-js reads.

Tables (Row, Insert, Update, Relationships), views, functions and enums. Composite types are ``Json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from psycopg import AsyncRawCursor
from psycopg.rows import DictRow, dict_row

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection

TYPESCRIPT = NamedSql(__package__, "typescript.sql")

_NUMBERS = frozenset({"int2", "int4", "int8", "float4", "float8", "numeric", "oid"})
_JSON = frozenset({"json", "jsonb"})
_STRINGS = frozenset(
    {
        "bytea", "bpchar", "char", "varchar", "text", "citext", "name", "date", "time", "timetz",
        "timestamp", "timestamptz", "uuid", "interval", "inet", "cidr", "macaddr", "xml",
    }
)  # fmt: skip
_HEAD = """export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
"""
_NONE = "[_ in never]: never"


async def typescript_of(connection: Connection, schemas: Sequence[str]) -> str:
    """The file's text."""
    columns = await _rows(connection, "columns", schemas)
    relationships = await _rows(connection, "relationships", schemas)
    functions = await _rows(connection, "functions", schemas)
    enums = await _rows(connection, "enums", schemas)
    lines: list[str] = []
    for schema in sorted(set(schemas)):

        def of_schema(rows: list[DictRow], schema: str = schema) -> list[DictRow]:
            return [row for row in rows if row["schema"] == schema]

        mine = of_schema(columns)
        tables = [row for row in mine if row["kind"] not in {"v", "m"}]
        views = [row for row in mine if row["kind"] in {"v", "m"}]
        lines.append(f"  {_name(schema)}: {{")
        lines += _block("Tables", _relations(tables, of_schema(relationships), is_view=False))
        lines += _block("Views", _relations(views, [], is_view=True))
        lines += _block("Functions", _functions(of_schema(functions)))
        lines += _block("Enums", _enums(of_schema(enums)))
        lines += _block("CompositeTypes", [])
        lines.append("  }")
    return f"{_HEAD}{chr(10).join(lines)}\n}}\n"


def _block(title: str, inner: list[str]) -> list[str]:
    return [f"    {title}: {{", *(inner or [f"      {_NONE}"]), "    }"]


def _relations(columns: list[DictRow], relationships: list[DictRow], *, is_view: bool) -> list[str]:
    lines: list[str] = []
    for relation, group in groupby(columns, key=lambda row: str(row["relation"])):
        mine = list(group)
        lines += [f"      {_name(relation)}: {{", "        Row: {"]
        lines += [
            f"          {_name(row['name'])}: {_column(row, is_view=is_view)}" for row in mine
        ]
        lines.append("        }")
        if not is_view:
            lines += _writing("Insert", mine)
            lines += _writing("Update", mine)
        lines += _relationships([row for row in relationships if row["relation"] == relation])
        lines.append("      }")
    return lines


def _writing(title: str, columns: list[DictRow]) -> list[str]:
    lines = [f"        {title}: {{"]
    for row in columns:
        optional = title == "Update" or row["has_default"] or not row["not_null"]
        type_ = "never" if row["is_generated"] else _column(row, is_view=False)
        mark = "?" if optional or row["is_generated"] else ""
        lines.append(f"          {_name(row['name'])}{mark}: {type_}")
    return [*lines, "        }"]


def _relationships(rows: list[DictRow]) -> list[str]:
    if not rows:
        return ["        Relationships: []"]
    lines = ["        Relationships: ["]
    for row in rows:
        lines += [
            "          {",
            f"            foreignKeyName: {json.dumps(row['name'])}",
            f"            columns: {json.dumps(row['columns'])}",
            f"            isOneToOne: {'true' if row['is_one_to_one'] else 'false'}",
            f"            referencedRelation: {json.dumps(row['referenced_relation'])}",
            f"            referencedColumns: {json.dumps(row['referenced_columns'])}",
            "          },",
        ]
    return [*lines, "        ]"]


def _functions(rows: list[DictRow]) -> list[str]:
    lines: list[str] = []
    for name, group in groupby(rows, key=lambda row: str(row["name"])):
        kinds = []
        for row in group:
            arguments = [argument for argument in row["arguments"] if argument["name"]]
            inner = "; ".join(
                f"{_name(argument['name'])}{'?' if argument['has_default'] else ''}: {_type(argument)}"
                for argument in arguments
            )
            taken = f"{{ {inner} }}" if arguments else "never"
            returned = _type(row) + ("[]" if row["is_set"] else "")
            kinds.append(f"{{ Args: {taken}; Returns: {returned} }}")
        lines.append(f"      {_name(name)}: {' | '.join(kinds)}")
    return lines


def _enums(rows: list[DictRow]) -> list[str]:
    return [
        f"      {_name(row['name'])}: {' | '.join(json.dumps(label) for label in row['labels'])}"
        for row in rows
    ]


def _column(row: Mapping[str, Any], *, is_view: bool) -> str:
    return _type(row) + ("" if row["not_null"] and not is_view else " | null")


def _type(row: Mapping[str, Any]) -> str:
    if row["element"] is not None:
        inner = _plain(row["element"], row["element_typtype"], row["element_schema"])
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    return _plain(row["type"], row["typtype"], row["type_schema"])


def _plain(name: str, typtype: str, schema: str) -> str:
    if name == "bool":
        return "boolean"
    if name in _NUMBERS:
        return "number"
    if name in _STRINGS:
        return "string"
    if name in _JSON or typtype == "c":
        return "Json"
    if name == "void":
        return "undefined"
    if typtype == "e":
        return f'Database["{schema}"]["Enums"]["{name}"]'
    return "unknown"


def _name(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


async def _rows(connection: Connection, name: str, schemas: Sequence[str]) -> list[DictRow]:
    cursor: AsyncRawCursor[DictRow] = AsyncRawCursor(connection, row_factory=dict_row)
    async with cursor:
        await cursor.execute(TYPESCRIPT[name], [list(schemas)])
        return await cursor.fetchall()
