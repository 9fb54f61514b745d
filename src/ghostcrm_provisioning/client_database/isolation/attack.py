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
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
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
from ghostcrm_provisioning.client_database.isolation.trying import NO_ANSWER, Attempt, Trying
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

    def take(self, other: Outcome) -> None:
        self.findings += other.findings
        self.attempts += other.attempts


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
        trying = trying or Trying(connection)
        await trying.settle()
        # What is not the client's at all, is not ours to attack.
        listed = [
            row
            for row in await _fetch(connection, "columns")
            if ground.is_ours(str(row["table_name"]))
        ]
        others = [
            (str(row["schema_name"]), str(row["name"]))
            for row in await _fetch(connection, "other_relations", ground)
        ]
        rows = await _make_rows(connection, access, ground) if access is not None else {}
        # As the owner, who sees every row.
        tables = await _tables(connection, listed, rows)
        yield Attacker(
            connection,
            access,
            tables,
            others,
            blindly=blindly,
            trying=trying,
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
        trying = Trying(connection)
        await trying.settle()
        await _become_owner(connection, ground)
        for name in ("create_canary", "open_canary", "fill_canary"):
            await connection.execute(ATTACK[name])
        attacker = Attacker(
            connection,
            None,
            [_Table(CANARY, ("id",), ("id",), ("id",), "id", {"any": {"id": 1}})],
            (),
            blindly=True,
            trying=trying,
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


# What is to be tried, in rounds: it goes on when all of a round were tried.
_Work = Iterator[list[Attempt]]


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
        works: list[tuple[_Work, Outcome]] = []
        for table in self._tables:
            if only is None or table.name in only:
                grid = self._access.tables.get(table.name) if self._access else None
                own = Outcome()
                works.append((self._attack_table(table, caller, grid, own), own))
        if only is None:
            for place in self._others if caller.matrix_role is None else ():
                title = ".".join(place).removeprefix("public.")
                own = Outcome()
                works.append((self._look_into(sql.Identifier(*place), title, caller, own), own))
            for call in self._access.calls.values() if self._access else ():
                own = Outcome()
                works.append((self._attack_call(call, caller, own), own))
        # All that can be tried now is tried together; what follows from the answers, afterwards.
        going: Sequence[_Work] = [work for work, _ in works]
        while going:
            asked = [
                (work, attempts) for work in going if (attempts := next(work, None)) is not None
            ]
            await self._trying.try_all([each for _, attempts in asked for each in attempts])
            going = [work for work, _ in asked]
        for _, own in works:
            outcome.take(own)

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

    def _attack_table(
        self, table: _Table, caller: Caller, grid: TableGrid | None, outcome: Outcome
    ) -> _Work:
        knock = self._knock(sql.Identifier("public", table.name))
        if not table.rows:
            if caller.matrix_role is None:
                yield [knock]
                _judge_knock(knock, table.name, caller, outcome)
            return
        expected = {
            operation: _expected(table, caller, grid, operation) for operation in _EXPOSURES
        }
        touches = {
            operation: self._touch(operation, table, list(expected[operation]))
            for operation in _TOUCHING
        }
        blind = {
            operation: self._touch_blindly(operation, table)
            for operation in ("update", "delete")
            if self._blindly and not any(expected[operation].values())
        }
        promised = [kind for kind, must in expected["insert"].items() if must]
        inserts = [
            self._insert(table, promised),
            *(self._insert(table, [kind]) for kind in expected["insert"] if kind not in promised),
        ]
        together = [*touches.values(), *inserts]
        yield [
            *([knock] if caller.matrix_role is None else []),
            *(several.attempt for several in together if several.attempt),
            *(attempt for attempt in blind.values() if attempt),
        ]
        yield [one.attempt for several in together for one in several.apart() if one.attempt]

        if caller.matrix_role is None:
            _judge_knock(knock, table.name, caller, outcome)
        for operation, touched in touches.items():
            outcome.attempts[operation] += len(expected[operation])
            if attempt := blind.get(operation):
                _judge_blind(operation, attempt, table.name, caller, outcome)
            done = touched.done()
            for kind, must in expected[operation].items():
                _judge(operation, table.name, kind, caller, must, kind in done, outcome)
        outcome.attempts["insert"] += len(expected["insert"])
        done = {kind for insert in inserts for kind in insert.done()}
        for kind, must in expected["insert"].items():
            _judge("insert", table.name, kind, caller, must, kind in done, outcome)

    def _knock(self, name: sql.Composable) -> Attempt:
        """Look for any row at all, the client's own included."""
        return Attempt(sql.SQL(ATTACK["knock"]).format(table=name).as_string(self._connection))

    def _look_into(
        self, name: sql.Composable, title: str, caller: Caller, outcome: Outcome
    ) -> _Work:
        knock = self._knock(name)
        yield [knock]
        _judge_knock(knock, title, caller, outcome)

    def _touch(self, operation: str, table: _Table, kinds: list[str]) -> _Several:
        """Select, update or delete the rows of these kinds."""

        def attempt(kinds: list[str]) -> Attempt | None:
            if not kinds or (operation == "update" and table.updated is None):
                return None
            statement = self._statement(operation, table)
            return Attempt(statement, _as_json(table, kinds), is_prepared=True)

        return _Several(kinds, attempt)

    def _touch_blindly(self, operation: str, table: _Table) -> Attempt | None:
        """Update or delete every row without reading one: a statement that reads no column is not
        held back by the policies for SELECT."""
        if operation == "update" and table.updated is None:
            return None
        statement = self._statement(f"blind {operation}", table)
        return Attempt(statement, json.dumps(next(iter(table.rows.values()))), way="run")

    def _insert(self, table: _Table, kinds: list[str]) -> _Several:
        """Insert all at once, and one by one where that fails."""

        def attempt(kinds: list[str]) -> Attempt | None:
            if not kinds:
                return None
            statement = self._statement("insert", table)
            return Attempt(statement, _as_json(table, kinds), way="run", is_prepared=True)

        return _Several(kinds, attempt)

    def _statement(self, operation: str, table: _Table) -> str:
        place = (operation, table.name)
        if (statement := self._statements.get(place)) is None:
            statement = _statement(operation, table).as_string(self._connection)
            self._statements[place] = statement
        return statement

    # --- calls ------------------------------------------------------------------------------------

    def _with_id(self, call: Call, row: object) -> str:
        return call.statement % {"id": sql.Literal(row).as_string(self._connection)}

    def _attack_call(self, call: Call, caller: Caller, outcome: Outcome) -> _Work:
        ids = next(table.rows for table in self._tables if table.name == call.table)
        asked = {
            kind: (must, Attempt(self._with_id(call, ids[kind]["id"]), way="any"))
            for kind in call.kinds
            if (must := call.cells[caller.matrix_role][kind] if caller.matrix_role else False)
            is not None
        }
        yield [attempt for _, attempt in asked.values()]
        for kind, (must, attempt) in asked.items():
            outcome.attempts["call"] += 1
            was = bool(attempt.rows_touched) or attempt.was_let_through
            if was and not must:
                sentence = f"{_titled(caller)} may call {call.name} on {call.table} ({kind})."
                outcome.add("call_allowed", sentence, call.function, caller.title)
            elif must and not was:
                sentence = (
                    f"{_titled(caller)} cannot call {call.name} on {call.table} ({kind}),"
                    f" as the access matrix promises{attempt.why}."
                )
                outcome.add("call_refused", sentence, call.function, caller.title)


class _Several:
    """One statement on the rows of several kinds, and where it fails on all together, on each alone."""

    def __init__(
        self, kinds: list[str], make_attempt: Callable[[list[str]], Attempt | None]
    ) -> None:
        self._kinds = kinds
        self._make_attempt = make_attempt
        self._apart: list[_Several] = []
        self.attempt = make_attempt(kinds)

    def apart(self) -> Iterable[_Several]:
        """What is left to try, now that all were tried together."""
        if self.attempt is not None and not self._is_answered() and len(self._kinds) > 1:
            self._apart = [_Several([kind], self._make_attempt) for kind in self._kinds]
        return self._apart

    def done(self) -> set[str]:
        """The kinds of which a row was touched, or would have been but for a constraint."""
        if self.attempt is None:
            return set()
        if self._apart:
            return {kind for one in self._apart for kind in one.done()}
        if self.attempt.rows is not None and self.attempt.way == "rows":
            return {self._kinds[int(row["n"]) - 1] for row in self.attempt.rows}
        return set(self._kinds) if self.attempt.went_well else set()

    def _is_answered(self) -> bool:
        """Of an INSERT that a constraint has stopped, all had been let through: they are checked
        first. Of other statements that is known of one row alone."""
        attempt = self.attempt
        if attempt is None or attempt.rows is not None:
            return True
        return attempt.way == "run" and attempt.was_let_through


def _judge_knock(knock: Attempt, title: str, caller: Caller, outcome: Outcome) -> None:
    outcome.attempts["knock"] += 1
    if knock.rows and knock.rows[0]["seen"]:
        outcome.add("row_seen", f"{_titled(caller)} sees rows of {title}.", title, caller.title)


def _judge_blind(
    operation: str, attempt: Attempt, table: str, caller: Caller, outcome: Outcome
) -> None:
    outcome.attempts[f"blind {operation}"] += 1
    if attempt.rows_touched or attempt.was_let_through:
        code, verb = _EXPOSURES[operation]
        sentence = f"{_titled(caller)} {verb} rows of {table} that it does not see."
        outcome.add(code, sentence, table, caller.title)


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


_TOUCHING = ("select", "update", "delete")
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
) -> list[_Table]:
    by_table: dict[str, list[DictRow]] = {}
    for column in columns:
        by_table.setdefault(column["table_name"], []).append(column)
    tables = []
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
        tables.append(table)
    return await _with_rows(connection, tables, keys)


async def _with_rows(
    connection: Connection,
    tables: Sequence[_Table],
    keys: Mapping[str, Mapping[str, dict[str, Any]]],
) -> list[_Table]:
    """The tables, each with the row of each kind as it stands there."""
    questions = [
        sql.SQL(ATTACK["read_rows"]).format(
            name=sql.Literal(table.name),
            table=sql.Identifier("public", table.name),
            same=_same_key(table),
        )
        for table in tables
        if keys.get(table.name)
    ]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    if questions:
        cursor = await connection.execute(
            sql.SQL(" union all ").join(questions), {"keys": json.dumps(keys)}
        )
        for row in await cursor.fetchall():
            found[row["table_name"], row["kind"]] = row["row"]
    for table in tables:
        for kind in keys.get(table.name, ()):
            if (table.name, kind) not in found:
                raise InvalidBlueprint(f"access/rows.sql makes no row {kind!r} in {table.name}.")
    return [
        replace(
            table,
            rows={kind: found[table.name, kind] for kind in keys.get(table.name, ())},
        )
        for table in tables
    ]
