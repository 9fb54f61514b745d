"""The attack: callers try every operation on every table, and every call, in transactions that are
rolled back.

Who attacks: ``anon``; a signed-in stranger whose token claims to be an owner; a colleague who was
deactivated; and with the blueprint's access matrix, "me" in each role, on rows of each kind. All act
with roles that row level security binds, through the claims of a token, as PostgREST makes them act.

What counts as refused: SQLSTATE 42501, no row touched, or a business rule's own exception. How one
statement is tried and undone is in :mod:`.trying`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.access_matrix import (
    AccessMatrix,
    Call,
    TableGrid,
    person_id,
    row_id,
)
from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.isolation.trying import NO_ANSWER, Trying
from ghostcrm_provisioning.client_database.isolation.verdict import Finding
from ghostcrm_provisioning.client_database.roles import AUTH_ROLE
from ghostcrm_provisioning.errors import InvalidBlueprint
from ghostcrm_provisioning.named_sql import NamedSql

ATTACK = NamedSql(__package__, "attack.sql")

Connection = AsyncConnection[DictRow]

CANARY = "ghostcrm_canary"


@dataclass(frozen=True)
class Caller:
    """Somebody who attacks: a database role, and what their token says."""

    title: str
    database_role: str
    claims: Mapping[str, Any] = field(hash=False)
    matrix_role: str | None = None


@dataclass
class Outcome:
    """What came of an attack."""

    findings: list[Finding] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)

    def add(self, code: str, sentence: str, subject: str, caller: str) -> None:
        self.findings.append(Finding(code, sentence, subject=subject, caller=caller))


@dataclass(frozen=True)
class _Table:
    """A table under attack, and its rows of each kind, if it has any."""

    name: str
    key: tuple[str, ...]
    insertable: tuple[str, ...]
    writable: tuple[str, ...]
    updated: str | None
    rows: Mapping[str, dict[str, Any]] = field(hash=False)


def strangers(access: AccessMatrix | None) -> list[Caller]:
    """Those who must be let into nothing."""
    lie = {"role": "owner", "role_key": "owner", "is_admin": True}
    callers = [
        Caller("anon", "anon", {"role": "anon"}),
        Caller(
            "a signed-in stranger",
            "authenticated",
            {
                "sub": str(uuid4()),
                "role": "authenticated",
                "aud": "authenticated",
                "email": "stranger@access.invalid",
                "user_metadata": lie,
                "app_metadata": lie,
            },
        ),
    ]
    if access is not None and access.deactivated is not None:
        claims = {"sub": str(person_id(access.deactivated)), "role": "authenticated"}
        callers.append(Caller("a deactivated colleague", "authenticated", claims))
    return callers


def insiders(access: AccessMatrix) -> list[Caller]:
    """ "Me" in each role."""
    claims = {"sub": str(person_id(access.me)), "role": "authenticated", "aud": "authenticated"}
    return [Caller(role, "authenticated", claims, matrix_role=role) for role in access.roles]


async def attack(
    connection: Connection,
    access: AccessMatrix | None,
    *,
    together: bool,
    tables: Sequence[str] | None = None,
    ground: Ground = PLAIN,
) -> Outcome:
    """Make the whole attack.

    Args:
        connection: as the database's administrator, or its owner at Supabase; in autocommit mode.
        together: for a database that nobody uses: all callers in one transaction, which is faster,
            and statements that would touch every row. Otherwise a transaction each, so that what is
            locked in a client's database is free again soon.
        tables: only these; None for all, and the calls.

    Raises:
        InvalidBlueprint: the rows of the access matrix cannot be made.
        psycopg.Error: something kept the attack from being made; nothing is said about isolation.
    """
    outcome = Outcome()
    callers = [*strangers(access), *(insiders(access) if access is not None else ())]
    trying = Trying(connection)
    for group in [callers] if together else [[caller] for caller in callers]:
        async with prepared(
            connection, access, blindly=together, trying=trying, ground=ground
        ) as attacker:
            for caller in group:
                await attacker.attack_as(caller, outcome, tables)
    return outcome


@asynccontextmanager
async def prepared(
    connection: Connection,
    access: AccessMatrix | None,
    *,
    blindly: bool,
    trying: Trying | None = None,
    ground: Ground = PLAIN,
) -> AsyncIterator[Attacker]:
    """The people and rows of the access matrix, in a transaction that is rolled back.

    Args:
        blindly: also try statements that would touch every row of a table; for a database without
            anybody's rows in it.
        trying: of this connection, when several transactions follow each other.
    """
    async with connection.transaction(force_rollback=True):
        await connection.execute("set local lock_timeout = '5s'")
        listed = await _fetch(connection, "columns")
        others = [
            (str(row["schema_name"]), str(row["name"]))
            for row in await _fetch(connection, "other_relations", ground)
        ]
        rows = await _make_rows(connection, access, ground) if access is not None else {}
        # As the owner, who sees every row.
        tables = [table async for table in _tables(connection, listed, rows)]
        yield Attacker(
            connection,
            access,
            tables,
            others,
            blindly=blindly,
            trying=trying or Trying(connection),
            ground=ground,
        )


async def find_unlisted(connection: Connection, access: AccessMatrix) -> list[Finding]:
    """Tables and functions that users can reach and of which the matrix says nothing, and the
    other way round."""
    findings = []
    there = {str(row["table_name"]) for row in await _fetch(connection, "columns")}
    functions = {str(row["function"]) for row in await _fetch(connection, "functions_for_users")}
    called = {call.function for call in access.calls.values()}
    for code, names, sentence in (
        ("table_unlisted", there - access.tables.keys(), "The access matrix does not list {}."),
        ("table_missing", access.tables.keys() - there, "The access matrix lists {}: not there."),
        (
            "function_unlisted",
            functions - called,
            "Signed-in users may execute {}, of which the access matrix says nothing.",
        ),
        (
            "function_missing",
            called - functions,
            "The access matrix calls {}, which signed-in users cannot.",
        ),
    ):
        findings += [Finding(code, sentence.format(name), subject=name) for name in sorted(names)]
    return findings


async def try_canary(connection: Connection, *, ground: Ground = PLAIN) -> list[Finding]:
    """A table that is open on purpose must be found open: otherwise the attack is blind."""
    async with connection.transaction(force_rollback=True):
        await _become_owner(connection, ground)
        for name in ("create_canary", "open_canary", "fill_canary"):
            await connection.execute(ATTACK[name])
        attacker = Attacker(
            connection,
            None,
            [_Table(CANARY, ("id",), ("id",), ("id",), "id", {"any": {"id": 1}})],
            (),
            blindly=True,
            trying=Trying(connection),
            ground=ground,
        )
        outcome = Outcome()
        for caller in strangers(None):
            await attacker.attack_as(caller, outcome, None)
    seen = {(finding.code, finding.caller) for finding in outcome.findings}
    stranger = strangers(None)[1].title
    if all((code, stranger) in seen for code in ("row_seen", "row_changed", "row_deleted")):
        return []
    return [
        Finding(
            "canary_missed", "A table that is open on purpose was not found open.", subject=CANARY
        )
    ]


class Attacker:
    """Attacks the tables of one database, in the transaction that it was given."""

    def __init__(
        self,
        connection: Connection,
        access: AccessMatrix | None,
        tables: Sequence[_Table],
        others: Sequence[tuple[str, str]],
        *,
        blindly: bool,
        trying: Trying,
        ground: Ground = PLAIN,
    ) -> None:
        self._connection = connection
        self._access = access
        self._tables = tables
        self._others = others
        self._blindly = blindly
        self._trying = trying
        self._ground = ground
        self._statements: dict[tuple[str, str], str] = {}

    async def attack_as(self, caller: Caller, outcome: Outcome, only: Sequence[str] | None) -> None:
        await self._become(caller, outcome)
        for table in self._tables:
            if only is not None and table.name not in only:
                continue
            grid = self._access.tables.get(table.name) if self._access else None
            await self._attack_table(table, caller, grid, outcome)
        if only is None:
            for place in self._others if caller.matrix_role is None else ():
                title = ".".join(place).removeprefix("public.")
                await self._knock(sql.Identifier(*place), title, caller, outcome)
            for call in self._access.calls.values() if self._access else ():
                await self._attack_call(call, caller, outcome)
        await self._trying.end()

    async def _become(self, caller: Caller, outcome: Outcome) -> None:
        if caller.matrix_role is not None and self._access is not None:
            await _become_owner(self._connection, self._ground)
            await self._connection.execute(self._access.become_role, {"role": caller.matrix_role})
        await self._connection.execute(
            ATTACK["become_caller"],
            {"role": caller.database_role, "claims": json.dumps(dict(caller.claims))},
        )
        row = await (await self._connection.execute(ATTACK["is_bound"])).fetchone()
        if row is None or not row["holds"]:
            raise InvalidBlueprint(f"Row level security does not bind {caller.database_role}.")
        asking = await (await self._connection.execute(ATTACK["who_is_asking"])).fetchone()
        claimed = {"id": caller.claims.get("sub"), "role": caller.claims.get("role")}
        if asking != claimed:
            sentence = (
                f"auth.uid() and auth.role() do not say what the token of {caller.title} says."
            )
            outcome.add("identity_differs", sentence, "auth.uid()", caller.title)
        await self._trying.begin(caller.database_role)

    # --- tables -----------------------------------------------------------------------------------

    async def _attack_table(
        self, table: _Table, caller: Caller, grid: TableGrid | None, outcome: Outcome
    ) -> None:
        name = sql.Identifier("public", table.name)
        if caller.matrix_role is None:
            await self._knock(name, table.name, caller, outcome)
        if not table.rows:
            return
        for operation in ("select", "update", "delete"):
            expected = _expected(table, caller, grid, operation)
            outcome.attempts[operation] += len(expected)
            done = await self._touch(operation, table, list(expected))
            if self._blindly and operation != "select" and not any(expected.values()):
                await self._touch_blindly(operation, table, caller, outcome)
            for kind, must in expected.items():
                _judge(operation, table.name, kind, caller, must, kind in done, outcome)
        expected = _expected(table, caller, grid, "insert")
        outcome.attempts["insert"] += len(expected)
        done = await self._insert_all(table, [kind for kind, must in expected.items() if must])
        for kind, must in expected.items():
            if not must and await self._insert(table, [kind]):
                done.add(kind)
            _judge("insert", table.name, kind, caller, must, kind in done, outcome)

    async def _knock(
        self, name: sql.Composable, title: str, caller: Caller, outcome: Outcome
    ) -> None:
        """Look for any row at all, the client's own included."""
        outcome.attempts["knock"] += 1
        query = sql.SQL(ATTACK["knock"]).format(table=name).as_string(self._connection)
        rows = await self._trying.try_unprepared(query)
        if rows and rows[0]["seen"]:
            outcome.add("row_seen", f"{_titled(caller)} sees rows of {title}.", title, caller.title)

    async def _touch(self, operation: str, table: _Table, kinds: list[str]) -> set[str]:
        """Select, update or delete the rows of these kinds; returns the kinds that it worked on."""
        if not kinds or (operation == "update" and table.updated is None):
            return set()
        statement = self._statement(operation, table)
        rows = await self._trying.try_(statement, rows=_as_json(table, kinds))
        if rows is not None:
            return {kinds[int(row["n"]) - 1] for row in rows}
        if len(kinds) == 1:
            return set(kinds) if self._trying.was_let_through else set()
        done = set()
        for kind in kinds:
            done |= await self._touch(operation, table, [kind])
        return done

    async def _touch_blindly(
        self, operation: str, table: _Table, caller: Caller, outcome: Outcome
    ) -> None:
        """Update or delete every row without reading one: a statement that reads no column is not
        held back by the policies for SELECT."""
        if operation == "update" and table.updated is None:
            return
        outcome.attempts[f"blind {operation}"] += 1
        statement = self._statement(f"blind {operation}", table)
        await self._trying.try_(statement, row=json.dumps(next(iter(table.rows.values()))))
        if self._trying.rows_touched or self._trying.was_let_through:
            code, verb = _EXPOSURES[operation]
            sentence = f"{_titled(caller)} {verb} rows of {table.name} that it does not see."
            outcome.add(code, sentence, table.name, caller.title)

    async def _insert_all(self, table: _Table, kinds: list[str]) -> set[str]:
        """Insert all at once, and one by one where that fails."""
        if not kinds or await self._insert(table, kinds):
            return set(kinds)
        return {kind for kind in kinds if len(kinds) > 1 and await self._insert(table, [kind])}

    async def _insert(self, table: _Table, kinds: list[str]) -> bool:
        statement = self._statement("insert", table)
        rows = await self._trying.try_(statement, rows=_as_json(table, kinds))
        return rows is not None or self._trying.was_let_through

    def _statement(self, operation: str, table: _Table) -> str:
        place = (operation, table.name)
        if (statement := self._statements.get(place)) is None:
            statement = _statement(operation, table).as_string(self._connection)
            self._statements[place] = statement
        return statement

    # --- calls ------------------------------------------------------------------------------------

    async def _attack_call(self, call: Call, caller: Caller, outcome: Outcome) -> None:
        ids = next(table.rows for table in self._tables if table.name == call.table)
        for kind in call.kinds:
            must = call.cells[caller.matrix_role][kind] if caller.matrix_role else False
            if must is None:
                continue
            outcome.attempts["call"] += 1
            rows = await self._trying.try_unprepared(call.statement, id=ids[kind]["id"])
            was = bool(rows) or (rows is None and self._trying.was_let_through)
            if was and not must:
                sentence = f"{_titled(caller)} may call {call.name} on {call.table} ({kind})."
                outcome.add("call_allowed", sentence, call.function, caller.title)
            elif must and not was:
                sentence = (
                    f"{_titled(caller)} cannot call {call.name} on {call.table} ({kind}),"
                    f" as the access matrix promises{self._trying.why}."
                )
                outcome.add("call_refused", sentence, call.function, caller.title)


def _titled(caller: Caller) -> str:
    if caller.matrix_role is not None:
        return f"The role {caller.title}"
    return caller.title if caller.title == "anon" else caller.title[:1].upper() + caller.title[1:]


def _expected(
    table: _Table, caller: Caller, grid: TableGrid | None, operation: str
) -> dict[str, bool]:
    """What must be possible (True) and what must be refused, by kind of row."""
    if caller.matrix_role is None:
        return dict.fromkeys(table.rows, False)
    if grid is None:
        return {}
    answers = {kind: grid.cells[caller.matrix_role][kind][operation] for kind in table.rows}
    return {kind: answer for kind, answer in answers.items() if answer is not None}


_EXPOSURES = {
    "select": ("row_seen", "sees"),
    "insert": ("row_inserted", "may insert"),
    "update": ("row_changed", "may change"),
    "delete": ("row_deleted", "may delete"),
}


def _judge(
    operation: str, table: str, kind: str, caller: Caller, must: bool, was: bool, outcome: Outcome
) -> None:
    if was and not must:
        code, verb = _EXPOSURES[operation]
        outcome.add(
            code, f"{_titled(caller)} {verb} a row of {table} ({kind}).", table, caller.title
        )
    elif must and not was:
        outcome.add(
            "row_refused",
            f"{_titled(caller)} cannot {operation} a row of {table} ({kind}), as the access matrix"
            " promises.",
            table,
            caller.title,
        )


_STATEMENTS = {
    "select": "select_rows",
    "update": "update_rows",
    "delete": "delete_rows",
    "blind update": "update_blindly",
    "blind delete": "delete_blindly",
    "insert": "insert_rows",
}


def _statement(operation: str, table: _Table) -> sql.Composed:
    return sql.SQL(ATTACK[_STATEMENTS[operation]]).format(
        table=sql.Identifier("public", table.name),
        same=_same_key(table),
        column=sql.Identifier(table.updated or ""),
        names=sql.SQL(", ").join(map(sql.Identifier, table.insertable or table.writable)),
    )


def _same_key(table: _Table) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("x.{0} = k.{0}").format(sql.Identifier(column)) for column in table.key
    )


def _as_json(table: _Table, kinds: list[str]) -> str:
    return json.dumps([table.rows[kind] for kind in kinds])


# --- preparing ------------------------------------------------------------------------------------


async def _fetch(connection: Connection, name: str, ground: Ground = PLAIN) -> list[DictRow]:
    return await (await connection.execute(ATTACK[name], ground.rules)).fetchall()


async def _become_owner(connection: Connection, ground: Ground) -> None:
    await connection.execute(ATTACK["become_caller"], {"role": ground.owner, "claims": ""})


async def _make_rows(
    connection: Connection, access: AccessMatrix, ground: Ground
) -> dict[str, dict[str, dict[str, Any]]]:
    """Make people and rows; returns the key of each row, by table and kind."""
    await connection.execute(ATTACK["create_access_rows"])
    await connection.execute(
        sql.SQL("grant select, insert on pg_temp.access_rows to {}").format(
            sql.Identifier(ground.owner)
        )
    )
    # At Supabase the owner may write users, and may not become whom their tables belong to.
    makes_users = ground.owner if ground.is_supabase else AUTH_ROLE
    await connection.execute(ATTACK["become_caller"], {"role": makes_users, "claims": ""})
    for name in access.people:
        await connection.execute(
            ATTACK["insert_person"],
            {"id": person_id(name), "email": f"{name}@access.invalid"},
        )
    await _become_owner(connection, ground)
    try:
        await connection.execute(cast("Any", access.rows))
    except NO_ANSWER:
        raise
    except psycopg.Error as error:
        raise InvalidBlueprint(
            f"access/rows.sql cannot be run: {error.diag.message_primary} ({error.sqlstate})."
        ) from error
    keys = {
        name: {kind: {"id": str(row_id(name, kind))} for kind in grid.kinds}
        for name, grid in access.tables.items()
    }
    for row in await _fetch(connection, "read_access_rows"):
        keys.setdefault(row["table_name"], {})[row["kind"]] = row["key"]
    return keys


async def _tables(
    connection: Connection,
    columns: Sequence[DictRow],
    keys: Mapping[str, Mapping[str, dict[str, Any]]],
) -> AsyncIterator[_Table]:
    by_table: dict[str, list[DictRow]] = {}
    for column in columns:
        by_table.setdefault(column["table_name"], []).append(column)
    for name, own in by_table.items():
        writable = [column for column in own if not column["is_given"]]
        updatable = [c["column_name"] for c in writable if c["is_updatable"]]
        updatable += [c["column_name"] for c in writable if not c["is_key"]]
        table = _Table(
            name=name,
            key=tuple(c["column_name"] for c in own if c["is_key"]),
            insertable=tuple(c["column_name"] for c in writable if c["is_insertable"]),
            writable=tuple(c["column_name"] for c in writable),
            updated=updatable[0] if updatable else None,
            rows={},
        )
        wanted = keys.get(name, {})
        rows = {kind: await _read_row(connection, table, key) for kind, key in wanted.items()}
        if missing := [kind for kind, row in rows.items() if row is None]:
            raise InvalidBlueprint(f"access/rows.sql makes no row {missing[0]!r} in {name}.")
        yield _Table(
            table.name,
            table.key,
            table.insertable,
            table.writable,
            table.updated,
            {kind: row for kind, row in rows.items() if row is not None},
        )


async def _read_row(
    connection: Connection, table: _Table, key: dict[str, Any]
) -> dict[str, Any] | None:
    query = sql.SQL(ATTACK["read_row"]).format(
        table=sql.Identifier("public", table.name), same=_same_key(table)
    )
    row = await (await connection.execute(query, {"key": json.dumps(key)})).fetchone()
    return row["row"] if row is not None else None
