"""Lists of runs, filtered and page by page; and the timeline of a client: its runs with their steps and the
attempts at each, as a waterfall shows them. What a run is and how it is written: run.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from ghostcrm_provisioning.clients.listing import Place
from ghostcrm_provisioning.clients.run import Run, RunStep, milliseconds_between
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.errors import NotFound
from ghostcrm_provisioning.named_sql import NamedSql

RUN_LISTING = NamedSql(__package__, "run_listing.sql")

RUN_STATUSES = ("queued", "running", "waiting", "succeeded", "failed")
RUN_KINDS = (
    "provision_client",
    "change_plan",
    "suspend_client",
    "resume_client",
    "delete_client",
    "rotate_credentials",
)


@dataclass(frozen=True)
class RunFilter:
    """Which runs; what is empty is not asked for, several values of one kind are alternatives."""

    statuses: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    client_id: UUID | None = None


@dataclass(frozen=True)
class RunPage:
    """One page: rows for ``run_row_document``, and where the next one begins."""

    rows: list[dict[str, Any]]
    has_more: bool

    @property
    def next_place(self) -> Place | None:
        """None on the last page."""
        if not self.has_more:
            return None
        return Place(self.rows[-1]["created_at"], self.rows[-1]["id"])


@dataclass(frozen=True)
class Attempt:
    """One attempt at one step, by one worker."""

    number: int
    outcome: str
    started_at: datetime
    finished_at: datetime | None
    error: dict[str, Any] | None
    worker_id: UUID

    @property
    def duration_ms(self) -> float | None:
        return milliseconds_between(self.started_at, self.finished_at)


@dataclass(frozen=True)
class StepTimeline:
    """A step, and every attempt at it: also those from before a retry."""

    step: RunStep
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True)
class RunTimeline:
    """A run with its steps in their order.

    Attributes:
        from_plan, to_plan, requested_by: of a change of plan.
    """

    run: Run
    steps: list[StepTimeline]
    from_plan: str | None
    to_plan: str | None
    requested_by: str | None


@dataclass(frozen=True)
class TimelinePage:
    """A client's runs, newest first, and where the next page begins."""

    runs: list[RunTimeline]
    has_more: bool

    @property
    def next_place(self) -> Place | None:
        """None on the last page."""
        if not self.has_more:
            return None
        return Place(self.runs[-1].run.created_at, self.runs[-1].run.id)


async def list_runs(
    connection: Connection,
    wanted: RunFilter,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> RunPage:
    """The newest runs that are as wanted, or those that come after ``after``."""
    place = None if after is None else Place(*after)
    statement = sql.SQL(RUN_LISTING["run_page"]).format(
        found=_found(wanted, limit=limit + 1, after=place)
    )
    rows = await (await connection.execute(statement, _parameters(wanted, place))).fetchall()
    return RunPage(rows[:limit], has_more=len(rows) > limit)


async def read_timeline(
    connection: Connection,
    client_id: UUID,
    *,
    limit: int = 20,
    after: tuple[datetime, UUID] | None = None,
) -> TimelinePage:
    """The newest runs of a client with all that was done, seen in one moment."""
    wanted = RunFilter(client_id=client_id)
    place = None if after is None else Place(*after)
    runs = await _read(
        connection, _found(wanted, limit=limit + 1, after=place), _parameters(wanted, place)
    )
    return TimelinePage(runs[:limit], has_more=len(runs) > limit)


async def read_run_timeline(connection: Connection, run_id: UUID) -> RunTimeline:
    """Raises NotFound when there is no run of that id."""
    runs = await _read(connection, sql.SQL(RUN_LISTING["one_run"]), {"run_id": run_id})
    if not runs:
        raise NotFound(f"There is no run {run_id}.")
    return runs[0]


async def _read(
    connection: Connection, found: sql.Composable, parameters: dict[str, Any]
) -> list[RunTimeline]:
    statement = sql.SQL(RUN_LISTING["timelines"]).format(found=found)
    timelines: dict[UUID, RunTimeline] = {}
    for row in await (await connection.execute(statement, parameters)).fetchall():
        timeline = timelines.get(row["id"])
        if timeline is None:
            timeline = timelines[row["id"]] = RunTimeline(
                Run.from_row(row), [], row["from_plan"], row["to_plan"], row["requested_by"]
            )
        if row["position"] is None:
            continue
        if not timeline.steps or timeline.steps[-1].step.position != row["position"]:
            timeline.steps.append(StepTimeline(_step(row)))
        if row["attempt"] is not None:
            timeline.steps[-1].attempts.append(_attempt(row))
    return list(timelines.values())


def _step(row: dict[str, Any]) -> RunStep:
    return RunStep(
        position=row["position"],
        name=row["step_name"],
        status=row["step_status"],
        attempt=row["step_attempt"],
        started_at=row["step_started_at"],
        finished_at=row["step_finished_at"],
        observation=row["observation"],
        error=row["step_error"],
    )


def _attempt(row: dict[str, Any]) -> Attempt:
    return Attempt(
        number=row["attempt"],
        outcome=row["outcome"],
        started_at=row["attempt_started_at"],
        finished_at=row["attempt_finished_at"],
        error=row["attempt_error"],
        worker_id=row["attempt_worker_id"],
    )


def _found(wanted: RunFilter, *, limit: int, after: Place | None) -> sql.Composed:
    """The keys of the runs on a page, by the way that is the shortest for what is wanted."""

    def by(way: str, besides: str) -> sql.Composed:
        return sql.SQL(RUN_LISTING[way]).format(
            conditions=_conditions(wanted, besides=besides, after=after), limit=sql.Literal(limit)
        )

    if wanted.client_id is not None:
        return by("newest_runs", "nothing")
    # Nearly all runs have succeeded: any other filter has fewer.
    if wanted.statuses and "succeeded" not in wanted.statuses:
        return by("newest_runs_of_statuses", "status")
    if wanted.kinds:
        return by("newest_runs_of_kinds", "kind")
    if wanted.statuses:
        return by("newest_runs_of_statuses", "status")
    return by("newest_runs", "nothing")


def _conditions(wanted: RunFilter, *, besides: str, after: Place | None) -> sql.Composed:
    """Everything that is asked of a run, ``besides`` what the way to it sees to."""
    conditions = []
    if after is not None:
        conditions.append(sql.SQL(RUN_LISTING["where_run_before"]))
    if wanted.statuses and besides != "status":
        conditions.append(sql.SQL(RUN_LISTING["where_run_status"]))
    if wanted.kinds and besides != "kind":
        conditions.append(sql.SQL(RUN_LISTING["where_run_kind"]))
    if wanted.client_id is not None:
        conditions.append(sql.SQL(RUN_LISTING["where_run_client"]))
    return sql.SQL("\n").join(conditions)


def _parameters(wanted: RunFilter, after: Place | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "statuses": list(dict.fromkeys(wanted.statuses)),
        "kinds": list(dict.fromkeys(wanted.kinds)),
        "client_id": wanted.client_id,
    }
    if after is not None:
        parameters |= {"before_created_at": after.created_at, "before_id": after.id}
    return parameters
