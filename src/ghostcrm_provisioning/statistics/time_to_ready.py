"""How long registrations take until the client is ready, over time: half of them, and all but one in twenty.

Counted from being queued, as ``clients show`` does; after a retry, from that. A bucket in which no client
became ready has no numbers: it is a gap, not a zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from ghostcrm_provisioning.clients.documents import instant, whole_ms
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

STATISTICS = NamedSql(__package__, "statistics.sql")


class Window(StrEnum):
    """How far back to look."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def length(self) -> timedelta:
        return {
            Window.DAY: timedelta(days=1),
            Window.WEEK: timedelta(days=7),
            Window.MONTH: timedelta(days=30),
        }[self]

    @property
    def bucket(self) -> timedelta:
        """The part of it for which there is one point in a chart."""
        return {
            Window.DAY: timedelta(minutes=30),
            Window.WEEK: timedelta(hours=4),
            Window.MONTH: timedelta(hours=12),
        }[self]


@dataclass(frozen=True)
class ReadyTimes:
    """How many clients became ready in a time, and how long that took them, in ms; None for no client."""

    begin: datetime
    end: datetime
    clients: int
    p50_ms: float | None
    p95_ms: float | None

    def as_document(self) -> dict[str, Any]:
        return {
            "from": instant(self.begin),
            "to": instant(self.end),
            "clients": self.clients,
            "p50Ms": whole_ms(self.p50_ms),
            "p95Ms": whole_ms(self.p95_ms),
        }


@dataclass(frozen=True)
class TimeToReady:
    """A window as a whole, and bucket after bucket, the one that goes on now being the last."""

    window: Window
    at: datetime
    whole: ReadyTimes
    buckets: list[ReadyTimes]

    def as_document(self) -> dict[str, Any]:
        return {
            "window": str(self.window),
            "at": instant(self.at),
            **self.whole.as_document(),
            "buckets": [bucket.as_document() for bucket in self.buckets],
        }


async def read_time_to_ready(connection: Connection, window: Window) -> TimeToReady:
    now = datetime.now(UTC)
    width = window.bucket
    # Whole buckets, at the same times whenever one looks: the newest is not over yet.
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    end = epoch + ((now - epoch) // width + 1) * width
    begin = end - window.length
    rows = await (
        await connection.execute(
            STATISTICS["time_to_ready"], {"width": width, "begin": begin, "end": end}
        )
    ).fetchall()
    found = {row["bucket"]: row for row in rows}
    return TimeToReady(
        window,
        now,
        _times(found.get(None), begin, end),
        [
            _times(found.get(start), start, start + width)
            for start in (begin + number * width for number in range(window.length // width))
        ],
    )


def _times(row: dict[str, Any] | None, begin: datetime, end: datetime) -> ReadyTimes:
    if row is None or not row["clients"]:
        return ReadyTimes(begin, end, 0, None, None)
    return ReadyTimes(begin, end, row["clients"], *row["percentiles"])
