"""Tries statements as the caller that was begun, and undoes each.

What was stopped by a key or a constraint had been let through: PostgreSQL asks the policies first.

A function in the connection's temporary schema runs many statements for one message to the server, each in
a subtransaction that it undoes: an attack is thousands of statements, and the server may be far away.

Nearly all else that an attack costs is planning, and each statement is tried with many callers and rows. So
it is prepared, in SQL: psycopg would do it by itself, but forgets what it has prepared with every ROLLBACK.
It is prepared for each database role anew, because whether a role may use a schema is asked when a
statement is prepared. Who may do what is asked whenever it is run, and PostgreSQL plans anew whatever
rests on a policy or a table that has been changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.named_sql import NamedSql

TRYING = NamedSql(__package__, "trying.sql")

Connection = AsyncConnection[DictRow]

# Not an answer: the attack has to be made again.
NO_ANSWER = (
    psycopg.OperationalError,
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    # Something in the database has meddled with what was prepared.
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
)
# What a constraint stopped, the policies had let through. (A trigger may raise the same SQLSTATE; it
# names no constraint or column.)
_LET_THROUGH = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.NotNullViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.ExclusionViolation,
    psycopg.errors.RestrictViolation,  # what a foreign key raises from PostgreSQL 18 on
)
# So many statements at most go to the server in one message.
_AT_ONCE = 500


@dataclass
class Attempt:
    """A statement to be tried, and what came of it.

    Attributes:
        statement: with its one value as ``%(value)s``; as it is, where there is none.
        way: ``rows`` when its rows are wanted, ``any`` when only whether there are some, ``run`` for a
            statement that returns none.
        is_prepared: for one that is tried again and again with other values; of such a one that returns
            no rows it is not known how many it has touched.
        rows: None when it failed, for which see ``was_let_through``.
    """

    statement: str
    value: str | None = None
    way: Literal["rows", "any", "run"] = "rows"
    is_prepared: bool = False
    rows: list[dict[str, Any]] | None = field(default=None, init=False)
    was_let_through: bool = field(default=False, init=False)
    rows_touched: int = field(default=0, init=False)
    why: str = field(default="", init=False)

    @property
    def went_well(self) -> bool:
        """It was carried out, or a constraint stopped what the policies had let through."""
        return self.rows is not None or self.was_let_through


class Trying:
    """Tries statements on one connection, in one transaction after the other. A second one on the same
    connection begins when the first is done with.
    """

    def __init__(self, connection: Connection) -> None:
        connection.prepare_threshold = None  # psycopg prepares nothing more by itself
        self._connection = connection
        self._role: str | None = None
        self._names: dict[tuple[str | None, str], str] = {}
        self._prepared: set[str] = set()

    async def settle(self) -> None:
        """Make what tries the statements, in this transaction, which is rolled back. The connection's
        login must be allowed a temporary schema."""
        await self._connection.execute(TRYING["create_runner"])

    async def begin(self, role: str) -> None:
        """From here on as this database role, which the transaction has taken on."""
        if self._role is None:
            # psycopg takes an end like this one to forget what it had prepared until now; a later one
            # would take ours along.
            async with self._connection.transaction(force_rollback=True):
                pass
            await self._connection.execute(TRYING["forget_prepared"])
        self._role = role
        await self._connection.execute(TRYING["plan_once"])

    async def try_all(self, attempts: Sequence[Attempt]) -> None:
        """Try each by itself; what came of it is written into it.

        Raises:
            psycopg.Error: one of :data:`NO_ANSWER`.
        """
        left = list(attempts)
        while left:
            del left[: await self._try_some(left[:_AT_ONCE])]

    async def _try_some(self, attempts: Sequence[Attempt]) -> int:
        """How many of the first ones were tried."""
        names, preparations, statements = [], [], []
        for attempt in attempts:
            name, preparation, statement = self._as_sent(attempt)
            names.append(name)
            preparations.append(preparation)
            statements.append(statement)
        cursor = await self._connection.execute(
            TRYING["try_all"],
            {
                "names": names,
                "preparations": preparations,
                "statements": statements,
                "ways": [attempt.way for attempt in attempts],
            },
        )
        answers = await cursor.fetchall()
        for attempt, name, answer in zip(attempts, names, answers, strict=False):
            if name is not None and answer["was_prepared"]:
                self._prepared.add(name)
            if answer["code"] is None:
                attempt.rows = answer["seen"]
                attempt.rows_touched = answer["touched"]
                continue
            failure = _failure_of(answer["code"])
            if issubclass(failure, NO_ANSWER):
                raise failure(answer["said"])
            attempt.was_let_through = issubclass(failure, _LET_THROUGH) and answer["named"]
            attempt.why = f" ({answer['said']})"
        return len(answers)

    def _as_sent(self, attempt: Attempt) -> tuple[str | None, str | None, str]:
        """The name that it is prepared under, what prepares it if it is not, and the statement."""
        value = sql.Literal(attempt.value)
        if not attempt.is_prepared:
            if attempt.value is None:
                return None, None, attempt.statement
            quoted = value.as_string(self._connection)
            return None, None, attempt.statement % {"value": quoted}
        key = (self._role, attempt.statement)
        name = self._names.setdefault(key, f"attempt_{len(self._names)}")
        identifier = sql.Identifier(name)
        execute = sql.SQL(TRYING["execute"]).format(name=identifier, value=value)
        if name in self._prepared:
            return name, None, execute.as_string(self._connection)
        prepare = sql.SQL(TRYING["prepare"]).format(name=identifier).as_string()
        statement = attempt.statement % {"value": "$1"}
        return name, f"{prepare} {statement}", execute.as_string(self._connection)


def _failure_of(code: str) -> type[psycopg.Error]:
    """The error that this SQLSTATE is; for one that nobody has heard of, what its class is."""
    for known in (code, f"{code[:2]}000"):
        try:
            return psycopg.errors.lookup(known)
        except KeyError:
            continue
    return psycopg.DatabaseError
