"""Where the bars of a run's steps stand: recorded attempts become geometry, and nothing is drawn here.

The axis is time, from when the run was accepted to its end or to now. A stretch in which nothing
happened, and that is long beside what did happen (a wait for the next attempt, hours until somebody
retried), is collapsed to a fixed width and labelled with how long it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ghostcrm_provisioning.clients.run import Run, RunStep

WIDTH = 1000.0
"""The axis, in units of the drawing."""
_NARROWEST = 6.0
_COLLAPSED = 70.0
# A wait for a worker that takes less of the axis is not drawn.
_WORTH_SHOWING = 15.0
# A stretch without work is collapsed when it is longer than this many seconds, and than all work.
_SHORTEST_COLLAPSED_SECONDS = 1.0
_MOST_SEGMENTS = 60
_KINDS = ("done", "failed", "running", "told_to_wait", "abandoned", "waiting")


@dataclass(frozen=True)
class Segment:
    """One part of a step's bar: an attempt (``done``, ``failed``, ``told_to_wait``, ``abandoned``,
    ``running``), or ``waiting`` between two of them. ``is_open`` when it has not ended."""

    kind: str
    x: float
    width: float
    is_open: bool = False


@dataclass(frozen=True)
class Gap:
    """A stretch of the axis that is collapsed."""

    x: float
    width: float
    seconds: float


@dataclass(frozen=True)
class Tick:
    """A mark on the axis: so many seconds of work and short waits after the run was accepted."""

    x: float
    seconds: float


@dataclass(frozen=True)
class Attempt:
    """One attempt at a step, in the words of its record."""

    number: int
    outcome: str
    started_at: datetime
    finished_at: datetime | None
    worker: str
    error: Mapping[str, Any] | None

    @property
    def seconds(self) -> float | None:
        if self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


@dataclass(frozen=True)
class StepBar:
    """One step: its record, its attempts, and its bar. A running step's duration ticks from
    ``started_at``."""

    step: RunStep
    title: str
    attempts: tuple[Attempt, ...]
    segments: tuple[Segment, ...]

    @property
    def seconds(self) -> float | None:
        """From the start of the first attempt to the end of the last; None while it goes on."""
        duration = self.step.duration_ms
        return None if duration is None else duration / 1000

    @property
    def is_open(self) -> bool:
        """Whether its details are shown without being asked for: it is what one came for."""
        return self.step.status in {"failed", "waiting"}


@dataclass(frozen=True)
class Waterfall:
    """A run's steps on one axis."""

    bars: tuple[StepBar, ...]
    gaps: tuple[Gap, ...]
    ticks: tuple[Tick, ...]
    began_at: datetime
    ended_at: datetime | None
    waited_seconds: float | None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What its bars show, for the legend."""
        shown = {segment.kind for bar in self.bars for segment in bar.segments}
        return tuple(kind for kind in _KINDS if kind in shown)

    @property
    def seconds(self) -> float | None:
        """From accepted to ended; None while it goes on."""
        return None if self.ended_at is None else (self.ended_at - self.began_at).total_seconds()


def draw(
    run: Run,
    steps: Sequence[RunStep],
    attempts: Sequence[Mapping[str, Any]],
    *,
    titles: Mapping[str, str],
    now: datetime,
) -> Waterfall:
    """The waterfall of a run.

    Args:
        attempts: rows of ``list_attempts``: name, attempt, outcome, started_at, finished_at, error,
            worker_id. Those from before a retry are among them.
        now: on the clock that wrote the records.
    """
    by_step = {step.name: _attempts_at(step.name, attempts) for step in steps}
    everything = [attempt for of_step in by_step.values() for attempt in of_step]
    began_at = run.created_at
    # Clocks of two machines may differ: nothing lies before the beginning or after the end.
    ended_at = run.finished_at
    until = max([ended_at or now, began_at, *(a.finished_at or a.started_at for a in everything)])
    axis = _Axis(began_at, until, _stretches(everything, began_at, until))
    bars = tuple(
        StepBar(
            step,
            titles.get(step.name, step.name.replace("_", " ").capitalize()),
            by_step[step.name],
            _segments(step, by_step[step.name], axis, until, is_finished=run.is_finished),
        )
        for step in steps
    )
    first = min((attempt.started_at for attempt in everything), default=None)
    if first is None and bars and not run.is_finished and until > began_at:
        wait = Segment("waiting", 0.0, WIDTH, is_open=True)
        bars = (replace(bars[0], segments=(wait,)), *bars[1:])
    elif first is not None and axis.x(first) > _WORTH_SHOWING:
        wait = _segment("waiting", began_at, first, axis)
        bars = tuple(
            replace(bar, segments=(wait, *bar.segments))
            if bar.attempts and bar.attempts[0].started_at == first
            else bar
            for bar in bars
        )
    return Waterfall(
        bars=bars,
        gaps=axis.gaps,
        ticks=axis.ticks(),
        began_at=began_at,
        ended_at=ended_at,
        waited_seconds=None if first is None else max(0.0, (first - began_at).total_seconds()),
    )


def _attempts_at(step_name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            number=row["attempt"],
            outcome=row["outcome"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            worker=str(row["worker_id"]),
            error=row["error"],
        )
        for row in sorted(rows, key=lambda row: row["started_at"])
        if row["name"] == step_name
    )


def _segments(
    step: RunStep,
    attempts: Sequence[Attempt],
    axis: _Axis,
    until: datetime,
    *,
    is_finished: bool,
) -> tuple[Segment, ...]:
    """Attempts, and hatched between them; the first ones are left out when there are very many."""
    segments = []
    before: datetime | None = None
    for attempt in attempts[-_MOST_SEGMENTS:]:
        if before is not None and attempt.started_at > before:
            segments.append(_segment("waiting", before, attempt.started_at, axis))
        goes_on = attempt.finished_at is None and not is_finished
        end = attempt.finished_at or (until if goes_on else attempt.started_at)
        segments.append(_segment(attempt.outcome, attempt.started_at, end, axis, is_open=goes_on))
        before = end
    if before is not None and step.status in {"waiting", "pending"} and not is_finished:
        segments.append(_segment("waiting", before, until, axis, is_open=True))
    return tuple(segments)


def _segment(
    kind: str, start: datetime, end: datetime, axis: _Axis, *, is_open: bool = False
) -> Segment:
    left, right = axis.x(start), axis.x(end)
    width = max(_NARROWEST, right - left)
    return Segment(kind, round(min(left, WIDTH - width), 1), round(width, 1), is_open)


def _stretches(
    attempts: Sequence[Attempt], began_at: datetime, until: datetime
) -> list[tuple[datetime, datetime, bool]]:
    """The axis as a sequence of stretches, each with whether anything was being done in it."""
    stretches: list[tuple[datetime, datetime, bool]] = []
    at = began_at
    for attempt in sorted(attempts, key=lambda attempt: attempt.started_at):
        start = min(max(attempt.started_at, at), until)
        end = min(max(attempt.finished_at or until, start), until)
        if start > at:
            stretches.append((at, start, False))
        if end > start:
            stretches.append((start, end, True))
        at = end
    if until > at:
        stretches.append((at, until, False))
    return stretches


class _Axis:
    """Time to place: linear within a stretch."""

    def __init__(
        self,
        began_at: datetime,
        until: datetime,
        stretches: Sequence[tuple[datetime, datetime, bool]],
    ) -> None:
        self._began_at = began_at
        self._until = until
        work = sum((end - start).total_seconds() for start, end, is_work in stretches if is_work)
        longest = max(_SHORTEST_COLLAPSED_SECONDS, work)
        collapsed = [
            not is_work and work > 0 and (end - start).total_seconds() > longest
            for start, end, is_work in stretches
        ]
        # However many there are, half of the axis is left for what was done.
        width = min(_COLLAPSED, WIDTH / 2 / max(1, sum(collapsed)))
        shown = sum(
            (end - start).total_seconds()
            for (start, end, _), is_gap in zip(stretches, collapsed, strict=True)
            if not is_gap
        )
        per_second = (WIDTH - width * sum(collapsed)) / shown if shown > 0 else 0.0
        self._pieces: list[tuple[datetime, datetime, float, float]] = []
        gaps = []
        x = 0.0
        for (start, end, _), is_gap in zip(stretches, collapsed, strict=True):
            seconds = (end - start).total_seconds()
            wide = width if is_gap else seconds * per_second
            self._pieces.append((start, end, x, wide))
            if is_gap:
                gaps.append(Gap(round(x, 1), round(wide, 1), seconds))
            x += wide
        self.gaps = tuple(gaps)

    def x(self, moment: datetime) -> float:
        for start, end, x, width in self._pieces:
            if moment <= end:
                part = (moment - start) / (end - start) if end > start else 0.0
                return x + max(0.0, part) * width
        return WIDTH if self._pieces else 0.0

    def ticks(self) -> tuple[Tick, ...]:
        """Some round marks; none where they would be misread, that is after a collapsed stretch."""
        whole = (self._until - self._began_at).total_seconds()
        if self.gaps or whole <= 0:
            return ()
        step = next((each for each in _ROUND_SECONDS if whole / each <= 5), None)
        if step is None:
            return ()
        marks = int(whole / step)
        return tuple(
            Tick(round(self.x(self._began_at + timedelta(seconds=step * number)), 1), step * number)
            for number in range(1, marks + 1)
        )


_ROUND_SECONDS = (
    *(base * scale for scale in (0.001, 0.01, 0.1, 1.0, 10.0) for base in (1, 2, 5)),
    *(60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
