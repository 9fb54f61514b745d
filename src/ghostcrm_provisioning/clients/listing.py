"""Lists of clients: searched, filtered, page by page, and as quick with a hundred thousand as with a few.

Whoever searches types words: each must begin a word of the client's name or of its admin's email, whatever
its case and accents; or the beginning of an id. What a page costs depends on its length, not on the number
of clients: see decision 0021. The cursor in which a caller carries a place is the caller's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

LISTING = NamedSql(__package__, "listing.sql")

STATUSES = (
    "registered",
    "provisioning",
    "ready",
    "failed",
    "quarantined",
    "suspended",
    "deleting",
    "deleted",
)
LARGEST_COUNT = 10_000
# A word that more clients than this have is so common that going through the newest soon fills a page.
_COMMON = 3000
_LARGEST_COUNT_OF_COMMON = 1000
# … and with several words, or a filter besides, so few have all of it that counting more takes too long.
_LARGEST_COUNT_OF_COMMON_AND_FILTERED = 100
_NO_ID = UUID(int=0)
_ID_BEGINNING = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True)
class ClientFilter:
    """Which clients; what is empty is not asked for, several values of one kind are alternatives.

    Those that were deleted are history: they are found ``with_deleted``, or by their status.
    """

    search: str = ""
    statuses: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()  # by name
    with_deleted: bool = False

    @property
    def is_empty(self) -> bool:
        return self in {ClientFilter(), ClientFilter(with_deleted=True)}

    @property
    def leaves_out_deleted(self) -> bool:
        return not self.statuses and not self.with_deleted


class Place(NamedTuple):
    """A place in a list that is ordered newest first: after the one with this key."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True)
class ClientPage:
    """One page: rows for ``client_row_document``, and where the next one begins."""

    rows: list[dict[str, Any]]
    has_more: bool

    @property
    def next_place(self) -> Place | None:
        """None on the last page."""
        if not self.has_more:
            return None
        return Place(self.rows[-1]["created_at"], self.rows[-1]["id"])


@dataclass(frozen=True)
class StatusCount:
    """How many clients have a status; when ``is_capped``, at least so many."""

    status: str
    clients: int
    is_capped: bool

    def as_document(self) -> dict[str, Any]:
        return {"status": self.status, "count": self.clients, "isCapped": self.is_capped}


async def list_clients(
    connection: Connection,
    wanted: ClientFilter,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> ClientPage:
    """The newest clients that are as wanted, or those that come after ``after``."""
    search = await _measure(connection, wanted.search)
    if search is not None and search.finds_nothing:
        return ClientPage([], has_more=False)
    # One more than asked for tells whether there are more.
    place = None if after is None else Place(*after)
    found = _found(wanted, search, limit=limit + 1, after=place)
    statement = sql.SQL(LISTING["page"]).format(found=found)
    rows = await (
        await connection.execute(statement, _parameters(wanted, search, place))
    ).fetchall()
    return ClientPage(rows[:limit], has_more=len(rows) > limit)


async def count_by_status(connection: Connection, wanted: ClientFilter) -> list[StatusCount]:
    """How many of the clients that are as wanted have which status; the wanted statuses themselves are
    left out of account, so that each of them says how many it would show. In the order of ``STATUSES``.

    Counted up to 10,000 of each status; when only words are searched for that very many have, up to 1,000,
    and up to 100 when there are several such words, or other filters besides.
    """
    search = await _measure(connection, wanted.search)
    if search is not None and search.finds_nothing:
        return [StatusCount(status, 0, is_capped=False) for status in STATUSES]
    conditions = _conditions(wanted, search, besides="status")
    most = LARGEST_COUNT
    if search is not None and search.is_rare:
        statement = sql.SQL(LISTING["count_statuses_with_word"]).format(
            having_word=sql.SQL(LISTING["having_word"]), conditions=conditions
        )
    else:
        if search is not None:
            only_one = len(search.words) == 1 and not (
                wanted.plans or wanted.regions or wanted.servers
            )
            most = _LARGEST_COUNT_OF_COMMON if only_one else _LARGEST_COUNT_OF_COMMON_AND_FILTERED
        # Without words an index answers by itself; with them, rows are looked at until it is enough.
        in_order = sql.SQL("" if search is None else LISTING["newest_first"])
        statement = sql.SQL(LISTING["count_statuses"]).format(
            conditions=conditions, in_order=in_order, enough=sql.Literal(most + 1)
        )
    rows = await (await connection.execute(statement, _parameters(wanted, search, None))).fetchall()
    counted = {row["status"]: row["clients"] for row in rows}
    return [
        StatusCount(status, min(counted[status], most), is_capped=counted[status] > most)
        for status in STATUSES
    ]


@dataclass(frozen=True)
class _Search:
    """What is searched for: its words, how many words of clients begin as each does, and the ids that
    begin so."""

    words: Mapping[str, int]
    ids: tuple[UUID, UUID] | None

    @property
    def finds_nothing(self) -> bool:
        return not self.words

    @property
    def rarest_word(self) -> str:
        return min(self.words, key=lambda word: self.words[word])

    @property
    def is_rare(self) -> bool:
        return self.words[self.rarest_word] < _COMMON


async def _measure(connection: Connection, text: str) -> _Search | None:
    """None when nothing is searched for."""
    if not text.strip():
        return None
    statement = sql.SQL(LISTING["measure_words"]).format(enough=sql.Literal(_COMMON))
    rows = await (await connection.execute(statement, {"search": _storable(text)})).fetchall()
    words = {row["word"]: row["clients"] for row in rows}
    return _Search(words, _ids_that_begin_with(text))


def _storable(text: str) -> str:
    """What PostgreSQL takes as text: nothing that it stores has anything else, so nothing is missed."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def _ids_that_begin_with(text: str) -> tuple[UUID, UUID] | None:
    """The smallest and the largest id that begin so; None when no id does."""
    beginning = text.strip().lower().replace("-", "")
    if not _ID_BEGINNING.fullmatch(beginning):
        return None
    return UUID(beginning.ljust(32, "0")), UUID(beginning.ljust(32, "f"))


def _found(
    wanted: ClientFilter, search: _Search | None, *, limit: int, after: Place | None
) -> sql.Composed:
    """The keys of the clients on a page, by the way that is the shortest for what is wanted."""

    def by(way: str, besides: str, **parts: sql.Composable) -> sql.Composed:
        conditions = _conditions(wanted, search, besides=besides, after=after)
        return sql.SQL(LISTING[way]).format(
            conditions=conditions, limit=sql.Literal(limit), **parts
        )

    if search is not None and search.is_rare:
        return by("newest_with_word", "nothing", having_word=sql.SQL(LISTING["having_word"]))
    # Nearly all clients are ready: any other filter has fewer.
    if wanted.statuses and "ready" not in wanted.statuses:
        return by("newest_of_statuses", "status")
    if wanted.servers or wanted.regions:
        return by("newest_on_servers", "server", of_servers=_of_servers(wanted))
    if wanted.plans:
        return by("newest_of_plans", "plan")
    if wanted.statuses:
        return by("newest_of_statuses", "status")
    return by("newest", "nothing")


def _conditions(
    wanted: ClientFilter,
    search: _Search | None,
    *,
    besides: str,
    after: Place | None = None,
) -> sql.Composed:
    """Everything that is asked of a client, ``besides`` what the way to it sees to."""
    conditions: list[sql.Composable] = []
    if after is not None:
        conditions.append(sql.SQL(LISTING["where_before"]))
    if wanted.statuses and besides != "status":
        conditions.append(sql.SQL(LISTING["where_status"]))
    if wanted.leaves_out_deleted and besides != "status":
        conditions.append(sql.SQL(LISTING["where_not_deleted"]))
    if wanted.plans and besides != "plan":
        conditions.append(sql.SQL(LISTING["where_plan"]))
    if (wanted.servers or wanted.regions) and besides != "server":
        conditions.append(sql.SQL(LISTING["where_server"]).format(of_servers=_of_servers(wanted)))
    if search is not None:
        words = [
            sql.SQL(LISTING["where_word"]).format(word=sql.Placeholder(f"word_{number}"))
            for number in range(len(search.words))
        ]
        conditions.append(
            sql.SQL(LISTING["where_words"]).format(words=sql.SQL(" and ").join(words))
        )
    return sql.SQL("\n").join(conditions)


def _of_servers(wanted: ClientFilter) -> sql.Composed:
    parts = []
    if wanted.servers:
        parts.append(sql.SQL(LISTING["of_server_names"]))
    if wanted.regions:
        parts.append(sql.SQL(LISTING["of_regions"]))
    return sql.SQL("\n").join(parts)


def _parameters(
    wanted: ClientFilter, search: _Search | None, after: Place | None
) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "statuses": list(dict.fromkeys(wanted.statuses)),
        "plans": list(dict.fromkeys(map(_storable, wanted.plans))),
        "servers": list(map(_storable, wanted.servers)),
        "regions": list(map(_storable, wanted.regions)),
    }
    if after is not None:
        parameters |= {"before_created_at": after.created_at, "before_id": after.id}
    if search is not None:
        first, last = search.ids or (_NO_ID, _NO_ID)
        parameters |= {"rarest_word": search.rarest_word, "id_from": first, "id_to": last}
        parameters |= {f"word_{number}": f" {word}" for number, word in enumerate(search.words)}
    return parameters
