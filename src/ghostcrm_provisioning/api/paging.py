"""Pages of lists: where one goes on stands in a cursor, which is bound to its list and its filters.

A cursor is opaque to callers and holds nothing secret: the key of the last row, and a digest of what
was asked for. Whoever forges one sees another page of a list that he may see anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Query

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

_Row = TypeVar("_Row")
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

    @property
    def one_more(self) -> int:
        """How many rows to fetch: one more than are shown says whether there are more."""
        return self.limit + 1

    def after(self, read: Callable[[Sequence[Any]], _Place]) -> _Place | None:
        """The place after which this page begins; None for the first page.

        Args:
            read: makes the place of what :meth:`answer` was given.

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

    def answer(
        self,
        rows: Sequence[_Row],
        *,
        place: Callable[[_Row], Sequence[Any]],
        document: Callable[[_Row], dict[str, Any]],
        has_more: bool | None = None,
    ) -> dict[str, Any]:
        """The document of this page.

        Args:
            rows: up to :attr:`one_more` of them; or exactly those of the page, with ``has_more``.
            place: the key of a row, by which the list goes on after it.
        """
        more = len(rows) > self.limit if has_more is None else has_more
        shown = rows[: self.limit]
        return {
            "data": [document(row) for row in shown],
            "nextCursor": self._cursor(place(shown[-1])) if more and shown else None,
            "hasMore": more,
        }

    def _cursor(self, place: Sequence[Any]) -> str:
        text = json.dumps([self._digest, *place], default=_plain, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @property
    def _digest(self) -> str:
        asked = json.dumps([self.of, self.filters], default=_plain)
        return hashlib.sha256(asked.encode()).hexdigest()[:12]


def moment_and_id(place: Sequence[Any]) -> tuple[datetime, UUID]:
    """For lists that are ordered by age, then id."""
    moment, identifier = place
    when = datetime.fromisoformat(moment)
    if when.tzinfo is None:
        raise ValueError
    return when, UUID(identifier)


def number(place: Sequence[Any]) -> int:
    """For lists that are ordered by a number of their own."""
    (value,) = place
    if type(value) is not int or not 0 <= value <= _LARGEST_NUMBER:
        raise ValueError
    return value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _padded(cursor: str) -> bytes:
    return cursor.encode() + b"=" * (-len(cursor) % 4)
