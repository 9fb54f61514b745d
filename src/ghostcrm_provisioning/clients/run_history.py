"""Runs as lists, and as the timeline of one client. Only read here; the writes are in :mod:`.run`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.documents import (
    attempt_document,
    run_document,
    timed_step_document,
)
from ghostcrm_provisioning.clients.run import Run, RunStep
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

RUN_HISTORY = NamedSql(__package__, "run_history.sql")

# Where a list goes on: before the run of this age and id.
Position = tuple[datetime, UUID]


@dataclass(frozen=True)
class ListedRun:
    """A run with its client's name; with its steps and attempts where they were asked for."""

    run: Run
    client_name: str
    steps: list[RunStep] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def position(self) -> Position:
        return self.run.created_at, self.run.id

    def as_document(self) -> dict[str, Any]:
        return run_document(self.run, self.client_name)

    def as_timeline(self) -> dict[str, Any]:
        """With every step, and every attempt at it."""
        return self.as_document() | {
            "steps": [timed_step_document(step) for step in self.steps],
            "attempts": [attempt_document(row) for row in self.attempts],
        }


async def list_runs(
    connection: Connection,
    *,
    limit: int,
    status: str | None = None,
    kind: str | None = None,
    before: Position | None = None,
) -> list[ListedRun]:
    """Runs of all clients, newest first."""
    parameters = {"status": status, "kind": kind, "limit": limit} | _before(before)
    rows = await (
        # The filters differ from call to call, and so does the index that serves them.
        await connection.execute(RUN_HISTORY["list_runs"], parameters, prepare=False)
    ).fetchall()
    return [ListedRun(Run.from_row(row), row["client_name"]) for row in rows]


async def list_runs_of_client(
    connection: Connection, client_id: UUID, *, limit: int, before: Position | None = None
) -> list[ListedRun]:
    """The runs of one client, newest first.

    Raises:
        NotFound: there is no such client.
    """
    parameters = {"client_id": client_id, "limit": limit} | _before(before)
    rows = await (
        await connection.execute(RUN_HISTORY["list_runs_of_client"], parameters)
    ).fetchall()
    if not rows:
        await find_client(connection, client_id)
    return [ListedRun(Run.from_row(row), row["client_name"]) for row in rows]


async def list_timeline(
    connection: Connection, client_id: UUID, *, limit: int, before: Position | None = None
) -> list[ListedRun]:
    """As :func:`list_runs_of_client`, with steps and attempts."""
    runs = await list_runs_of_client(connection, client_id, limit=limit, before=before)
    run_ids = {"run_ids": [listed.run.id for listed in runs]}
    steps: dict[UUID, list[RunStep]] = {}
    for row in await (await connection.execute(RUN_HISTORY["steps_of_runs"], run_ids)).fetchall():
        steps.setdefault(row["run_id"], []).append(RunStep.from_row(row))
    attempts: dict[UUID, list[dict[str, Any]]] = {}
    for row in await (
        await connection.execute(RUN_HISTORY["attempts_of_runs"], run_ids)
    ).fetchall():
        attempts.setdefault(row["run_id"], []).append(row)
    return [
        ListedRun(
            listed.run,
            listed.client_name,
            steps.get(listed.run.id, []),
            attempts.get(listed.run.id, []),
        )
        for listed in runs
    ]


def _before(position: Position | None) -> dict[str, Any]:
    created_at, run_id = position or (None, None)
    return {"before_created_at": created_at, "before_id": run_id}
