"""A run and its steps, and the fenced writes by which a worker reports on them.

Every write names the fence under which the worker took the run up. A worker that lost its lease
meanwhile, and comes back as a zombie, holds an older fence: it gets :class:`Superseded` and changes
nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from psycopg.types.json import Jsonb

from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import GhostcrmError, NotFound, Superseded
from ghostcrm_provisioning.named_sql import NamedSql

RUNS = NamedSql(__package__, "runs.sql")
UNFINISHED = frozenset({"queued", "running", "waiting"})


@dataclass(frozen=True)
class Run:
    """One execution of a workflow for one client."""

    id: UUID
    client_id: UUID
    kind: str
    status: str
    priority: int
    fence: int
    worker_id: UUID | None
    worker_deaths: int
    next_attempt_at: datetime | None
    error: dict[str, Any] | None
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def duration_ms(self) -> float | None:
        """From accepted (or, after a retry, from then) to finished, in milliseconds."""
        return milliseconds_between(self.queued_at, self.finished_at)


@dataclass(frozen=True)
class RunStep:
    """One step of a run, as recorded."""

    position: int
    name: str
    status: str
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    observation: str | None
    error: dict[str, Any] | None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    @property
    def duration_ms(self) -> float | None:
        """From the start of the first attempt to the end of the last, in milliseconds."""
        return milliseconds_between(self.started_at, self.finished_at)


def milliseconds_between(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return (end - start).total_seconds() * 1000


async def find_run(connection: Connection, run_id: UUID) -> Run:
    """Raises NotFound when there is no run of that id."""
    row = await (await connection.execute(RUNS["find_run"], {"run_id": run_id})).fetchone()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return Run.from_row(row)


async def find_latest_run(connection: Connection, client_id: UUID) -> Run:
    """The newest run of a client; every client has one from its registration on."""
    row = await (
        await connection.execute(RUNS["latest_run_of_client"], {"client_id": client_id})
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no client {client_id}.")
    return await find_run(connection, row["id"])


async def find_first_run(connection: Connection, client_id: UUID) -> Run:
    """The run that a client's registration began."""
    row = await (
        await connection.execute(RUNS["first_run_of_client"], {"client_id": client_id})
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no client {client_id}.")
    return await find_run(connection, row["id"])


async def find_unfinished_run(connection: Connection, client_id: UUID) -> Run | None:
    """The run that is under way for a client; there is never more than one."""
    row = await (
        await connection.execute(RUNS["unfinished_run_of_client"], {"client_id": client_id})
    ).fetchone()
    return None if row is None else await find_run(connection, row["id"])


async def list_steps(connection: Connection, run_id: UUID) -> list[RunStep]:
    rows = await (await connection.execute(RUNS["list_steps"], {"run_id": run_id})).fetchall()
    return [RunStep.from_row(row) for row in rows]


async def insert_run(
    connection: Connection,
    *,
    run_id: UUID,
    client_id: UUID,
    kind: str,
    priority: int,
    step_names: tuple[str, ...],
) -> None:
    """A new run with all its steps pending."""
    await connection.execute(
        RUNS["insert_run"],
        {"id": run_id, "client_id": client_id, "kind": kind, "priority": priority},
    )
    await connection.execute(RUNS["insert_steps"], {"run_id": run_id, "names": list(step_names)})


class HeldRun:
    """A run that this worker holds under a fence, and the writes it may make to it."""

    def __init__(
        self, control: ControlDatabase, own: Connection, run: Run, worker_id: UUID
    ) -> None:
        self._control = control
        self._own = own
        self.run = run
        self._worker_id = worker_id

    @classmethod
    async def take_up(
        cls, control: ControlDatabase, own: Connection, run_id: UUID, worker_id: UUID
    ) -> HeldRun | None:
        """Take the run over from whoever had it; None when it has ended already.

        Args:
            own: a connection to the control database that is this run's for as long as it is held.
        """
        async with own.pipeline() as pipeline, own.transaction():
            # Apart from what follows, which must see everything that its last holder has written.
            await own.execute(RUNS["lock_run"], {"run_id": run_id})
            taken = await own.execute(RUNS["take_up"], {"run_id": run_id, "worker_id": worker_id})
            await own.execute(CLIENTS["mark_provisioning"], {"run_id": run_id})
            await pipeline.sync()
            row = await taken.fetchone()
        return None if row is None else cls(control, own, Run.from_row(row), worker_id)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """The run's own connection to the control database; another one once that is broken."""
        if self._own.closed or self._own.broken:
            async with self._control.connection() as connection:
                yield connection
        else:
            yield self._own

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[Connection]:
        """A transaction in which the run is certainly still ours.

        Whether the run is still ours is known before the first write is sent: a zombie that wrote
        first and looked afterwards could hold a lock that its successor waits for. The writes are
        sent without waiting for each other's results (pipeline mode).

        Whenever results are waited for, they are waited for with a sync: only after one does the server
        call the transaction idle, and end it when this process is frozen.

        Raises:
            Superseded: another worker has taken it up since; nothing was written.
        """
        async with (
            self.connection() as connection,
            connection.pipeline() as pipeline,
            connection.transaction(),
        ):
            held = await connection.execute(
                RUNS["hold"], {"run_id": self.run.id, "fence": self.run.fence}
            )
            await pipeline.sync()
            if await held.fetchone() is None:
                raise Superseded(f"The run {self.run.id} was taken over by another worker.")
            yield connection

    async def check(self) -> None:
        """See that the run is still ours, right before writing outside of the control database.

        Raises:
            Superseded: another worker has taken it up since, or it has ended.
        """
        async with self.connection() as connection:
            held = await connection.execute(
                RUNS["is_held"], {"run_id": self.run.id, "fence": self.run.fence}
            )
            if await held.fetchone() is None:
                raise Superseded(f"The run {self.run.id} was taken over by another worker.")

    async def start_step(
        self, position: int, *, finished: tuple[int, str] | None = None
    ) -> tuple[int, datetime]:
        """Record that a step starts, and in the same transaction that ``finished`` (position,
        observation) is done. Returns the attempt's number and when the first attempt started."""
        async with self.holding() as connection:
            # Should the server crash and forget that a step was done, the step is looked at again and
            # found done: not worth waiting for the disk. Fences, outcomes and ends do wait for it.
            await connection.execute("set local synchronous_commit = off")
            if finished is not None:
                await self._finish(connection, *finished)
            started = await connection.execute(
                RUNS["start_step"],
                {
                    "run_id": self.run.id,
                    "position": position,
                    "fence": self.run.fence,
                    "worker_id": self._worker_id,
                },
            )
        # Read when all is committed: one turn to the server less, at every step.
        row = await started.fetchone()
        if row is None:
            raise NotFound(f"The run {self.run.id} has no step {position}.")
        return row["attempt"], row["started_at"]

    async def succeed(
        self,
        *,
        finished: tuple[int, str] | None,
        conclude: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> float:
        """Record that the last step is done and with it the run, and in the same transaction what
        ``conclude`` writes; returns the run's duration in ms."""
        async with self.holding() as connection:
            if finished is not None:
                await self._finish(connection, *finished)
            if conclude is not None:
                await conclude(connection)
            row = await (
                await connection.execute(RUNS["succeed_run"], {"run_id": self.run.id})
            ).fetchone()
        return float(row["duration_ms"]) if row else 0.0

    async def postpone(
        self,
        position: int,
        error: GhostcrmError,
        *,
        wait_seconds: float,
        next_attempt: int,
        outcome: str,
    ) -> None:
        """Record that the step is tried again in ``wait_seconds``."""
        record = Jsonb(error.as_record())
        async with self.holding() as connection:
            await self._finish_attempt(connection, position, outcome, record)
            await connection.execute(
                RUNS["postpone_step"],
                {
                    "run_id": self.run.id,
                    "position": position,
                    "error": record,
                    "attempt": next_attempt,
                },
            )
            await connection.execute(
                RUNS["postpone_run"],
                {"run_id": self.run.id, "error": record, "wait_seconds": wait_seconds},
            )

    @asynccontextmanager
    async def failing(
        self, position: int | None, error: GhostcrmError
    ) -> AsyncIterator[Connection]:
        """Record that the run has failed; what the caller adds happens in the same transaction."""
        record = Jsonb(error.as_record())
        async with self.holding() as connection:
            if position is not None:
                await self._finish_attempt(connection, position, "failed", record)
                await connection.execute(
                    RUNS["fail_step"],
                    {"run_id": self.run.id, "position": position, "error": record},
                )
            await connection.execute(RUNS["fail_run"], {"run_id": self.run.id, "error": record})
            await connection.execute(CLIENTS["mark_failed"], {"run_id": self.run.id})
            yield connection

    async def _finish(self, connection: Connection, position: int, observation: str) -> None:
        await self._finish_attempt(connection, position, "done", None)
        await connection.execute(
            RUNS["finish_step"],
            {"run_id": self.run.id, "position": position, "observation": observation},
        )
        if self.run.worker_deaths:
            await connection.execute(RUNS["forgive_deaths"], {"run_id": self.run.id})

    async def _finish_attempt(
        self, connection: Connection, position: int, outcome: str, error: Jsonb | None
    ) -> None:
        await connection.execute(
            RUNS["finish_attempt"],
            {
                "run_id": self.run.id,
                "position": position,
                "fence": self.run.fence,
                "outcome": outcome,
                "error": error,
            },
        )
