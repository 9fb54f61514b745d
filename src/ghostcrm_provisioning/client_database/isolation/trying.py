"""Tries one statement after the other, each as the caller that was begun, and undoes it.

What was stopped by a key or a constraint had been let through: PostgreSQL asks the policies first.

Nearly all that an attack costs is planning, and each statement is tried with many callers and rows. So it
is prepared, in SQL: psycopg would do it by itself, but forgets what it has prepared with every ROLLBACK.
It is prepared for each database role anew, because whether a role may use a schema is asked when a
statement is prepared. Who may do what is asked whenever it is run, and PostgreSQL plans anew whatever
rests on a policy or a table that has been changed since.
"""

from __future__ import annotations

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


class Trying:
    """Tries statements on one connection, in one transaction after the other. A second one on the same
    connection begins when the first is done with.
    """

    def __init__(self, connection: Connection) -> None:
        connection.prepare_threshold = None  # psycopg prepares nothing more by itself
        self._connection = connection
        self._role: str | None = None
        self._names: dict[tuple[str | None, str], str] = {}
        # What came of the last one.
        self.was_let_through = False
        self.rows_touched = 0
        self.why = ""

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
        await self._connection.execute(TRYING["begin_attempt"])

    async def end(self) -> None:
        """Undo the last one."""
        await self._connection.execute(TRYING["undo_attempt"])

    async def try_(self, statement: str, **value: str) -> list[DictRow] | None:
        """Try a statement with its one value; None when it failed, for which see ``was_let_through``."""
        ((parameter, given),) = value.items()
        name = self._names.get((self._role, statement))
        if name is None:
            name = f"attempt_{len(self._names)}"
            prepare = sql.SQL(TRYING["prepare"]).format(name=sql.Identifier(name)).as_string()
            if await self._run(f"{prepare} {statement % {parameter: '$1'}}") is None:
                return None
            self._names[self._role, statement] = name
        execute = sql.SQL(TRYING["execute"]).format(
            name=sql.Identifier(name), value=sql.Literal(given)
        )
        return await self._run(execute.as_string(self._connection))

    async def try_unprepared(self, statement: str, **value: str) -> list[DictRow] | None:
        """Try one whose planning is little, or that cannot be prepared."""
        quoted = {
            name: sql.Literal(given).as_string(self._connection) for name, given in value.items()
        }
        return await self._run(statement % quoted)

    async def _run(self, statement: str) -> list[DictRow] | None:
        self.was_let_through = False
        self.rows_touched = 0
        self.why = ""
        try:
            # One message to the server: the one before is undone, however it ended.
            cursor = await self._connection.execute(
                f"{TRYING['undo_attempt']};\n{statement}".encode()
            )
        except NO_ANSWER:
            raise
        except psycopg.Error as error:
            self.was_let_through = isinstance(error, _LET_THROUGH) and bool(
                error.diag.constraint_name or error.diag.column_name
            )
            self.why = f" ({error.diag.message_primary})"
            return None
        cursor.nextset()
        self.rows_touched = cursor.rowcount
        return await cursor.fetchall() if cursor.description is not None else []
