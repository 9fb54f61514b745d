"""A turn at a server: verifications and quarantines of its clients come one after the other.

A turn is an advisory lock on a connection of its own to the control database. Whoever dies loses it with
the connection; whoever was cut off from the control database finds that out before the next deed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ghostcrm_provisioning.clients.verdict import VERDICTS
from ghostcrm_provisioning.control_database.database import (
    Connection,
    ControlDatabase,
    connection_options,
)
from ghostcrm_provisioning.errors import DatabaseBusy
from ghostcrm_provisioning.postgres_errors import translating

OnWait = Callable[[], None]


class Turn:
    """Held for as long as its connection lives."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def check(self) -> None:
        """Raises TransientFailure when the turn was lost: somebody else may be at it."""
        with translating("the control database"):
            await self._connection.execute("select")


@asynccontextmanager
async def turn_on(
    control: ControlDatabase,
    server_id: UUID,
    *,
    patience_seconds: float,
    on_wait: OnWait | None = None,
) -> AsyncIterator[Turn]:
    """Wait for a turn at that server.

    Args:
        on_wait: called when somebody else has it.

    Raises:
        DatabaseBusy: it did not come in time.
    """
    with translating("the control database"):
        connection: Connection = await AsyncConnection.connect(
            connection_options(control.url, application_name="ghostcrm verification"),
            autocommit=True,
            row_factory=dict_row,
        )
    try:
        await _take(connection, server_id, patience_seconds, on_wait)
        yield Turn(connection)
    finally:
        await connection.close()


async def _take(
    connection: Connection, server_id: UUID, patience_seconds: float, on_wait: OnWait | None
) -> None:
    parameters = {"server_id": server_id}
    with translating("the control database"):
        row = await (await connection.execute(VERDICTS["take_turn"], parameters)).fetchone()
        if row and row["taken"]:
            return
        if on_wait is not None:
            on_wait()
        await connection.execute(
            "select set_config('lock_timeout', %s, false)", (f"{int(patience_seconds * 1000)}ms",)
        )
        try:
            await connection.execute(VERDICTS["wait_for_turn"], parameters)
        except psycopg.errors.LockNotAvailable:
            raise DatabaseBusy(
                f"Another verification on this server took more than {patience_seconds:g} s.",
                next_step="Try again when it has ended.",
            ) from None
