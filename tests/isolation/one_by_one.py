"""Statements tried the plain way: a message to the server for each, and a savepoint to undo it. What
:class:`~ghostcrm_provisioning.client_database.isolation.trying.Trying` says must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ghostcrm_provisioning.client_database.isolation.trying import NO_ANSWER, Attempt, Trying
from tests.isolation.conftest import Connection

_LET_THROUGH = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.NotNullViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.ExclusionViolation,
    psycopg.errors.RestrictViolation,
)


@dataclass
class Difference:
    """An attempt of which the two ways say something else."""

    statement: str
    together: tuple[Any, ...]
    alone: tuple[Any, ...]


class Comparing(Trying):
    """Tries everything in both ways, and keeps where they differ."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._plainly = connection
        self.compared = 0
        self.refused = 0
        self.let_through = 0
        self.differences: list[Difference] = []

    async def try_all(self, attempts: Sequence[Attempt]) -> None:
        await super().try_all(attempts)
        # It stays, however often one goes back to it.
        await self._plainly.execute("savepoint alone")
        for attempt in attempts:
            rows, touched, was_let_through, why = await self._alone(attempt)
            together = (
                attempt.rows if attempt.way == "rows" else attempt.rows is not None,
                # Of one that is prepared and returns nothing, only this way knows it.
                touched if attempt.is_prepared else attempt.rows_touched,
                attempt.was_let_through,
                attempt.why,
            )
            alone = (
                rows if attempt.way == "rows" else rows is not None,
                touched,
                was_let_through,
                why,
            )
            self.compared += 1
            self.refused += attempt.rows is None
            self.let_through += attempt.was_let_through
            if together != alone:
                self.differences.append(Difference(attempt.statement, together, alone))
        await self._plainly.execute("release savepoint alone")

    async def _alone(self, attempt: Attempt) -> tuple[list[dict[str, Any]] | None, int, bool, str]:
        statement = attempt.statement
        if attempt.value is not None:
            value = sql.Literal(attempt.value).as_string(self._plainly)
            statement = statement % {"value": value}
        try:
            cursor = await self._plainly.execute(statement.encode())
            rows = await cursor.fetchall() if cursor.description is not None else []
        except NO_ANSWER:
            raise
        except psycopg.Error as error:
            was_let_through = isinstance(error, _LET_THROUGH) and bool(
                error.diag.constraint_name or error.diag.column_name
            )
            return None, 0, was_let_through, f" ({error.diag.message_primary})"
        else:
            return rows, cursor.rowcount, False, ""
        finally:
            await self._plainly.execute("rollback to savepoint alone")
