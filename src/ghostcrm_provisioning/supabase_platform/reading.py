"""A small, read-only part of PostgREST: one table or view, filters, order, limit.

Enough to ask what somebody sees: it is run in the database, as the role of whoever asks, with the
claims of the token. Everything else of PostgREST needs PostgREST, which runs on these databases too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection
from ghostcrm_provisioning.supabase_platform.acting import acting_as
from ghostcrm_provisioning.supabase_platform.keys import Caller
from ghostcrm_provisioning.supabase_platform.refusal import Refusal

READING = NamedSql(__package__, "reading.sql")

_OPERATORS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
    "like": "like", "ilike": "ilike",
}  # fmt: skip
_IS = {"null": "null", "true": "true", "false": "false", "unknown": "unknown"}
_NOT_COLUMNS = frozenset({"select", "order", "limit", "offset", "apikey"})
_ORDER = re.compile(
    r"(?P<column>[^.,]+)(?:\.(?P<direction>asc|desc))?(?:\.(?P<nulls>nullsfirst|nullslast))?"
)
_NULLS = {"nullsfirst": "nulls first", "nullslast": "nulls last"}


@dataclass(frozen=True)
class Question:
    """What is asked of a table; ``parameters`` as they stand in the URL."""

    schema: str
    table: str
    parameters: Sequence[tuple[str, str]]
    largest_page: int


async def read_rows(connection: Connection, caller: Caller, question: Question) -> str:
    """The rows that the caller sees, as a JSON array.

    Raises:
        Refusal: in PostgREST's words.
    """
    statement, values = _statement(question)
    try:
        async with acting_as(connection, caller.role, caller.claims):
            row = await (await connection.execute(statement, values)).fetchone()
    except psycopg.Error as error:
        raise _refused(error, caller, question) from None
    return "[]" if row is None else str(row["rows"])


async def describe_schema(connection: Connection, caller: Caller, schema: str) -> dict[str, Any]:
    """The root of PostgREST, for the caller: which tables, views and functions there are for them. The
    names only; PostgREST describes columns and parameters, too."""
    async with acting_as(connection, caller.role, caller.claims):
        names = {
            kind: [
                str(row["name"])
                for row in await (
                    await connection.execute(READING[kind], {"schema": schema})
                ).fetchall()
            ]
            for kind in ("described_relations", "described_functions")
        }
    answers = {"responses": {"200": {"description": "OK"}}}
    paths: dict[str, Any] = {"/": {"get": answers}}
    paths |= {f"/{name}": {"get": answers} for name in names["described_relations"]}
    paths |= {f"/rpc/{name}": {"post": answers} for name in names["described_functions"]}
    return {
        "swagger": "2.0",
        "info": {"title": "PostgREST API", "version": "local platform"},
        "basePath": "/",
        "paths": paths,
        "definitions": {name: {"type": "object"} for name in names["described_relations"]},
    }


def _statement(question: Question) -> tuple[sql.Composed, list[Any]]:
    given = dict(question.parameters)
    conditions: list[sql.Composable] = []
    values: list[Any] = []
    for name, text in question.parameters:
        if name not in _NOT_COLUMNS:
            conditions.append(_condition(name, text, values))
    offset = _number(given.get("offset", "0"), "offset")
    limit = question.largest_page
    if "limit" in given:
        limit = min(limit, _number(given["limit"], "limit"))
    statement = sql.SQL(READING["read_rows"]).format(
        columns=_columns(given.get("select", "*")),
        table=sql.Identifier(question.schema, question.table),
        conditions=sql.SQL(" and ").join(conditions or [sql.SQL("true")]),
        order=_order(given.get("order")),
        limit=sql.Literal(limit),
        offset=sql.Literal(offset),
    )
    return statement, values


def _columns(text: str) -> sql.Composable:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or names == ["*"]:
        return sql.SQL("*")
    if any(mark in text for mark in "():>!"):
        raise _unsupported("embedding, casting and renaming of columns")
    return sql.SQL(", ").join(
        sql.SQL("*") if name == "*" else sql.Identifier(name) for name in names
    )


def _condition(column: str, text: str, values: list[Any]) -> sql.Composable:
    if column in {"and", "or"} or "." in column:
        raise _unsupported("logical operators")
    negated = text.startswith("not.")
    operator, dot, value = text.removeprefix("not.").partition(".")
    name = sql.Identifier(column)
    if not dot:
        raise _unparsable(text)
    if operator in _OPERATORS:
        values.append(value.replace("*", "%") if operator.endswith("like") else value)
        condition = sql.SQL("{} {} {}").format(
            name, sql.SQL(_OPERATORS[operator]), sql.Placeholder()
        )
    elif operator == "is" and value in _IS:
        condition = sql.SQL("{} is {}").format(name, sql.SQL(_IS[value]))
    elif operator == "in" and value.startswith("(") and value.endswith(")"):
        items = [item.strip().strip('"') for item in value[1:-1].split(",") if item.strip()]
        if not items:
            return sql.SQL("false")
        values.extend(items)
        condition = sql.SQL("{} in ({})").format(
            name, sql.SQL(", ").join([sql.Placeholder()] * len(items))
        )
    else:
        raise _unparsable(text)
    return sql.SQL("not ({})").format(condition) if negated else condition


def _order(text: str | None) -> sql.Composable:
    if not text:
        return sql.SQL("")
    terms: list[sql.Composable] = []
    for term in text.split(","):
        found = _ORDER.fullmatch(term)
        if found is None:
            raise _unparsable(text)
        terms.append(
            sql.SQL("{} {} {}").format(
                sql.Identifier(found["column"]),
                sql.SQL("desc" if found["direction"] == "desc" else "asc"),
                sql.SQL(_NULLS.get(found["nulls"] or "", "")),
            )
        )
    return sql.SQL("order by {}").format(sql.SQL(", ").join(terms))


def _number(text: str, name: str) -> int:
    if not text.isdecimal():
        raise _refusal(400, "PGRST103", f"{name} must be a number")
    return int(text)


def _refused(error: psycopg.Error, caller: Caller, question: Question) -> Refusal:
    if isinstance(error, psycopg.errors.UndefinedTable):
        name = f"{question.schema}.{question.table}"
        return _refusal(404, "PGRST205", f"Could not find the table '{name}' in the schema cache")
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:
        return _refusal(400, "PGRST100", "A value cannot be read")
    code = error.sqlstate or "PGRST000"
    message = error.diag.message_primary or "The database does not answer"
    status = {"42501": 401 if caller.role == "anon" else 403, "57014": 500}.get(code)
    if status is None:
        status = 503 if error.sqlstate is None else 400
    return _refusal(status, code, message, hint=error.diag.message_hint)


def _unparsable(text: str) -> Refusal:
    return _refusal(400, "PGRST100", f'"failed to parse filter ({text[:100]})"')


def _unsupported(what: str) -> Refusal:
    return _refusal(
        400,
        "PGRST100",
        f"The local platform reads plain tables only: {what} need PostgREST",
    )


def _refusal(status: int, code: str, message: str, *, hint: str | None = None) -> Refusal:
    body = {"code": code, "details": None, "hint": hint, "message": message}
    return Refusal(status, message, body=body)
