"""The chart of the time to ready: measured moments become geometry and words, and nothing is drawn here.

Where nobody became ready there is no value: the line has a gap there, it does not fall to zero. Labels
stand outside the drawing, evenly spaced, so that the drawing can be stretched to any width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from ghostcrm_provisioning.dashboard.words import duration

WIDTH = 1000.0
HEIGHT = 100.0
"""Of the drawing, in units of its own."""
# From this ratio of the largest to the smallest value on, each line of the scale is ten times the last.
_DECADES_FROM = 40
_MOST_LINES = 6


@dataclass(frozen=True)
class Point:
    """What was measured in the time that begins at ``at``; None where nobody became ready."""

    at: datetime
    p50_ms: float | None
    p95_ms: float | None
    count: int


@dataclass(frozen=True)
class Band:
    """The part of the drawing that belongs to a point: where the pointer finds its numbers."""

    x: float
    width: float
    words: str


@dataclass(frozen=True)
class Chart:
    """Everything that the template puts into the drawing and around it."""

    p50: str  # a path
    p95: str
    bands: list[Band]
    lines: list[float]  # y of the scale's lines, from the top
    scale: list[str]  # their labels, from the top
    moments: list[datetime]  # labels below, evenly spaced
    points: list[Point]
    description: str
    has_values: bool
    is_in_decades: bool  # each line of the scale is ten times the one below


def chart_of(points: Sequence[Point], each: timedelta) -> Chart:
    """The chart of points that are ``each`` apart, the oldest first."""
    values = [
        value for point in points for value in (point.p50_ms, point.p95_ms) if value is not None
    ]
    scale = _Scale.of(values)
    step = WIDTH / max(1, len(points))
    centres = [(index + 0.5) * step for index in range(len(points))]
    shown = max(1, len(points) // 4)
    return Chart(
        p50=_path(centres, (scale.y(point.p50_ms) for point in points)),
        p95=_path(centres, (scale.y(point.p95_ms) for point in points)),
        bands=[
            Band(round(index * step, 2), round(step, 2), _words(point, each))
            for index, point in enumerate(points)
            if point.count
        ],
        lines=scale.lines(),
        scale=[duration(value) if value else "0" for value in reversed(scale.values)],
        moments=[point.at for point in points[::shown]][:4],
        points=list(points),
        description=_description(points),
        has_values=bool(values),
        is_in_decades=scale.is_in_decades,
    )


@dataclass(frozen=True)
class _Scale:
    values: list[float]  # of the lines, from the bottom
    is_in_decades: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> _Scale:
        largest = max(values, default=1.0) or 1.0
        smallest = min((value for value in values if value > 0), default=largest)
        if largest / smallest >= _DECADES_FROM:
            lowest = math.floor(math.log10(smallest))
            highest = math.ceil(math.log10(largest))
            return cls([10.0**power for power in range(lowest, highest + 1)], True)
        step = _round_step(largest / (_MOST_LINES - 2))
        return cls([step * index for index in range(math.ceil(largest / step) + 1)], False)

    def y(self, value: float | None) -> float | None:
        if value is None:
            return None
        top = self.values[-1]
        if self.is_in_decades:
            bottom = math.log10(self.values[0])
            share = (math.log10(max(value, self.values[0])) - bottom) / (math.log10(top) - bottom)
        else:
            share = value / top
        return round(HEIGHT * (1 - share), 2)

    def lines(self) -> list[float]:
        last = len(self.values) - 1
        return [round(HEIGHT * index / last, 2) for index in range(last + 1)]


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 … that is not smaller."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _path(centres: Iterable[float], ys: Iterable[float | None]) -> str:
    """A line through the values with a gap where there is none; a lonely value becomes a dot."""
    parts = []
    is_drawing = False
    for x, y in zip(centres, ys, strict=True):
        if y is None:
            is_drawing = False
            continue
        # A line of no length has round ends, and so is a dot.
        parts.append(f"L{x:.2f} {y}" if is_drawing else f"M{x:.2f} {y}h0")
        is_drawing = True
    return "".join(parts)


def _words(point: Point, each: timedelta) -> str:
    begin, end = point.at, point.at + each
    clients = "1 client" if point.count == 1 else f"{point.count:,} clients"
    return (
        f"{begin:%Y-%m-%d %H:%M}–{end:%H:%M} UTC: p50 {duration(point.p50_ms)}, "
        f"p95 {duration(point.p95_ms)}, {clients}"
    )


def _description(points: Sequence[Point]) -> str:
    measured = [point for point in points if point.p50_ms is not None and point.p95_ms is not None]
    if not measured:
        return "No client became ready in this time."
    last = measured[-1]
    worst = max(measured, key=lambda point: point.p95_ms or 0)
    total = sum(point.count for point in points)
    gaps = sum(1 for before, after in pairwise(points) if before.count and not after.count)
    return (
        f"{total:,} client{'' if total == 1 else 's'} became ready. "
        f"Latest: half within {duration(last.p50_ms)}, 95 of 100 within {duration(last.p95_ms)}. "
        f"Slowest: 95 of 100 within {duration(worst.p95_ms)}, at {worst.at:%Y-%m-%d %H:%M} UTC."
        + (f" {gaps} gap{'' if gaps == 1 else 's'} in which nobody became ready." if gaps else "")
    )
