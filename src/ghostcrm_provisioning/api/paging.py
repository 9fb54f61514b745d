"""Pages of lists: where one goes on stands in a cursor, which is bound to its list and its filters.

A cursor is opaque to callers and holds nothing secret: the key of the last row, and a digest of what
was asked for. Whoever forges one sees another page of a list that he may see anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Query

from ghostcrm_provisioning.clients.listing import Place
from ghostcrm_provisioning.errors import CursorMismatch, InvalidCursor

_LONGEST_CURSOR = 500
_LARGEST_NUMBER = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=200, description="At most so many in one answer.")]
CursorText = Annotated[
    str | None,
    Query(
        max_length=_LONGEST_CURSOR,
        description="`nextCursor` of the page before, with the same filters.",
        examples=[None],
    ),
]

_Place = TypeVar("_Place")


@dataclass(frozen=True)
class Page:
    """One page that was asked for.

    Args:
        of: the list's name.
        filters: whatever else decides which rows are in the list, and in which order.
    """

    of: str
    limit: int
    cursor: str | None
    filters: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def asked_for(cls, of: str, limit: int, cursor: str | None, **filters: Any) -> Page:
        return cls(of, limit, cursor, tuple(sorted(filters.items())))

    def after(self, read: Callable[[Sequence[Any]], _Place]) -> _Place | None:
        """The place after which this page begins; None for the first page.

        Args:
            read: makes the place of the key that :meth:`document` was given.

        Raises:
            InvalidCursor, CursorMismatch.
        """
        if not self.cursor:
            return None
        try:
            digest, *place = json.loads(
                base64.b64decode(_padded(self.cursor), b"-_", validate=True)
            )
        except (binascii.Error, ValueError, TypeError):
            raise InvalidCursor from None
        if digest != self._digest:
            raise CursorMismatch
        try:
            return read(place)
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise InvalidCursor from None

    def document(
        self, rows: Iterable[dict[str, Any]], *, next_place: Sequence[Any] | None
    ) -> dict[str, Any]:
        """The document of this page.

        Args:
            next_place: the key of the last row, by which the list goes on after it; None on the last
                page.
        """
        return {
            "data": list(rows),
            "nextCursor": None if next_place is None else self._cursor(next_place),
            "hasMore": next_place is not None,
        }

    def _cursor(self, place: Sequence[Any]) -> str:
        text = json.dumps([self._digest, *place], default=_plain, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @property
    def _digest(self) -> str:
        asked = json.dumps([self.of, self.filters], default=_plain)
        return hashlib.sha256(asked.encode()).hexdigest()[:12]


def whole_list(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The document of a list that is short enough to be told at once."""
    return {"data": list(rows), "nextCursor": None, "hasMore": False}


def place_of(key: Sequence[Any]) -> Place:
    """For lists that are ordered by age, then id."""
    moment, identifier = key
    return Place(_moment(moment), UUID(identifier))


def key_of(place: Place | None) -> Sequence[Any] | None:
    """What :func:`place_of` makes a place of."""
    return None if place is None else (place.created_at, place.id)


def moment_and_number(key: Sequence[Any]) -> tuple[datetime, int]:
    """For lists that are ordered by age, then a number of their own."""
    moment, value = key
    return _moment(moment), number([value])


def number(key: Sequence[Any]) -> int:
    """For lists that are ordered by a number of their own."""
    (value,) = key
    if type(value) is not int or not 0 <= value <= _LARGEST_NUMBER:
        raise ValueError
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _padded(cursor: str) -> bytes:
    return cursor.encode() + b"=" * (-len(cursor) % 4)
