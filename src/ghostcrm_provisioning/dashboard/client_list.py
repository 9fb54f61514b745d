"""The address of a list of clients: its filters, the size of its pages, and the way one has come.

The list itself knows one direction, from a place on. So that one can also go back, an address carries the
places at which the pages before it began; whoever shares it shares the same page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from ghostcrm_provisioning.clients.listing import ClientFilter, Place
from ghostcrm_provisioning.dashboard.rendering import PREFIX

PAGE_SIZES = (25, 50, 100)
LONGEST_SEARCH = 200
_LONGEST_TRAIL = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile(r"([0-9a-f]{1,14})-([0-9a-f]{32})")


@dataclass(frozen=True)
class ClientListAddress:
    """What a list of clients shows; :attr:`path` leads to it."""

    search: str = ""
    statuses: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    size: int = PAGE_SIZES[0]
    # Where the pages begin that were gone through, the present one last; empty on the first page.
    trail: tuple[Place, ...] = field(default=())

    @property
    def wanted(self) -> ClientFilter:
        return ClientFilter(self.search, self.statuses, self.plans, self.regions, self.servers)

    @property
    def after(self) -> Place | None:
        return self.trail[-1] if self.trail else None

    @property
    def path(self) -> str:
        query: list[tuple[str, str]] = []
        if self.search:
            query.append(("search", self.search))
        for name, values in (
            ("status", self.statuses),
            ("plan", self.plans),
            ("region", self.regions),
            ("server", self.servers),
        ):
            query += [(name, value) for value in values]
        if self.size != PAGE_SIZES[0]:
            query.append(("size", str(self.size)))
        if self.trail:
            query.append(("at", "~".join(_written(place) for place in self.trail)))
        return f"{PREFIX}/clients" + (f"?{urlencode(query)}" if query else "")

    @property
    def newer(self) -> str | None:
        """The page before this one; None on the first."""
        return replace(self, trail=self.trail[:-1]).path if self.trail else None

    @property
    def newest(self) -> str | None:
        """The first page; None when that is the page before this one, or this one."""
        return replace(self, trail=()).path if len(self.trail) > 1 else None

    def older(self, next_place: Place | None) -> str | None:
        """The page after this one; None on the last."""
        if next_place is None:
            return None
        return replace(self, trail=(*self.trail, next_place)[-_LONGEST_TRAIL:]).path

    def with_status(self, *statuses: str) -> str:
        """The same list with these states only, from its first page."""
        return replace(self, statuses=statuses, trail=()).path

    @property
    def cleared(self) -> str:
        """Everything, in pages of this size."""
        return ClientListAddress(size=self.size).path


def read_address(query: Mapping[str, Sequence[str]]) -> ClientListAddress:
    """The address that a browser asks for. What cannot be understood of it is left out: a place that is
    no place leads to the first page."""

    def values(name: str) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(
                value.strip()[:LONGEST_SEARCH] for value in query.get(name, ()) if value.strip()
            )
        )

    size = next(iter(values("size")), "")
    return ClientListAddress(
        search="".join(
            character for character in next(iter(values("search")), "") if character.isprintable()
        ),
        statuses=values("status"),
        plans=values("plan"),
        regions=values("region"),
        servers=values("server"),
        size=int(size) if size in {str(each) for each in PAGE_SIZES} else PAGE_SIZES[0],
        trail=_read_trail(next(iter(query.get("at", ())), "")),
    )


def _written(place: Place) -> str:
    microseconds = (place.created_at - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds:x}-{place.id.hex}"


def _read_trail(text: str) -> tuple[Place, ...]:
    places = []
    for part in text.split("~")[-_LONGEST_TRAIL:] if text else ():
        match = _PLACE.fullmatch(part)
        if match is None:
            return ()
        # Fourteen digits reach to the year 4253: no moment is too large.
        moment = _EPOCH + timedelta(microseconds=int(match[1], 16))
        places.append(Place(moment, UUID(match[2])))
    return tuple(places)
