"""Readers of the admin API, many at the same time, and how long each of their requests takes.

Two servers are read in turns, so that whatever else the machine does hits both alike: one with few clients
and one with many. What is compared is the time within which 95 of 100 requests are answered.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import cycle
from math import ceil
from statistics import quantiles
from threading import Event
from time import monotonic, perf_counter, sleep
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from ghostcrm_provisioning.errors import PostconditionNotMet

LARGEST_RATIO = 1.5
KINDS = ("list", "search", "filter", "status")
LIST_PATH = "/api/admin/clients"
STATUS_PATH = "/api/admin/provision-client/status"
PROVISION_PATH = "/api/admin/provision-client"
_PAGES = 10  # of a list that is gone through
_LONGEST_PROVISION_SECONDS = 300
_BETWEEN_LOOKS_SECONDS = 0.1
_FEWEST_REQUESTS = 20  # of a kind, for a percentile that says something

# What operators type: a name in full, a word that one in thirty has, one that nearly half have, one of a name
# that one in a hundred has, two words, an email, the beginning of one, the beginning of an id, nothing there.
SEARCHES = (
    "000777", "möbel", "gmbh", "falkenberg", "linden logis", "office@firma000421", "anna.berg", "a3f1",
    "nobody-of-that-name",
)  # fmt: skip
FILTERS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("status", "failed"),),
    (("status", "failed"), ("status", "quarantined")),
    (("plan", "enterprise"),),
    (("region", "eu-west"),),
    (("server", "bench-03"),),
    (("status", "ready"), ("plan", "enterprise"), ("region", "us-east")),
    (("status", "failed"), ("search", "gmbh")),
)

Request = tuple[str, str]  # its kind, its path


@dataclass(frozen=True)
class Side:
    """One of the two servers."""

    clients: int
    url: str
    token: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True)
class Cell:
    """One kind of request on both sides; the times in ms."""

    kind: str
    requests: int
    few_p50: float
    many_p50: float
    few_p95: float
    many_p95: float

    @property
    def ratio(self) -> float:
        return self.many_p95 / self.few_p95

    @property
    def passes(self) -> bool:
        return self.ratio <= LARGEST_RATIO

    def as_document(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "requests": self.requests,
            "fewP50Ms": round(self.few_p50, 2),
            "manyP50Ms": round(self.many_p50, 2),
            "fewP95Ms": round(self.few_p95, 2),
            "manyP95Ms": round(self.many_p95, 2),
            "ratio": round(self.ratio, 3),
            "passes": self.passes,
        }


@dataclass
class Load:
    """What was measured: the cells, and how many clients were provisioned meanwhile."""

    cells: list[Cell]
    provisioned: int = 0


def measure(
    few: Side,
    many: Side,
    *,
    readers: int,
    seconds: float,
    turns: int,
    rounds: int = 3,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Load:
    """Read both sides in turns, ``turns`` each, for ``seconds`` in all.

    A ratio above the limit is measured again, in up to ``rounds`` rounds; the lowest counts, for a busy
    machine makes it only worse.

    Raises:
        PostconditionNotMet: a server did not answer as it should.
    """
    best: dict[str, Cell] = {}
    load = Load([])
    on_progress("Provisioning a client on both sides, for which the template is built …")
    for side in (few, many):
        with closing(_connect(side)) as connection:
            _provision_one(side, connection)
    requests = {side: _requests(side) for side in (few, many)}
    # By each reader in each turn, whatever the time: some of every kind.
    fewest = len(KINDS) * ceil(_FEWEST_REQUESTS / readers / turns)
    for number in range(rounds):
        on_progress(f"Reading, round {number + 1} …")
        times: dict[Side, dict[str, list[float]]] = {
            side: defaultdict(list) for side in (few, many)
        }
        for turn in range(turns):
            for side in (few, many) if turn % 2 == 0 else (many, few):
                found, provisioned = _read_for(
                    seconds / turns / 2, side, requests[side], readers, turn, fewest
                )
                load.provisioned += provisioned
                for kind, taken in found:
                    times[side][kind].append(taken)
        for kind in KINDS:
            cell = _cell(kind, times[few][kind], times[many][kind])
            if kind not in best or cell.ratio < best[kind].ratio:
                best[kind] = cell
        if all(cell.passes for cell in best.values()):
            break
    load.cells = [best[kind] for kind in KINDS]
    return load


def _cell(kind: str, few: list[float], many: list[float]) -> Cell:
    few_percentiles = quantiles(few, n=20, method="inclusive")
    many_percentiles = quantiles(many, n=20, method="inclusive")
    return Cell(
        kind,
        len(few) + len(many),
        few_percentiles[9],
        many_percentiles[9],
        few_percentiles[18],
        many_percentiles[18],
    )


def _read_for(
    seconds: float,
    side: Side,
    requests: Sequence[Request],
    readers: int,
    turn: int,
    fewest: int,
) -> tuple[list[tuple[str, float]], int]:
    """Have all readers read one side for a while, and one client after the other registered there; returns
    what each request took, and how many clients became ready."""
    over = Event()
    with ThreadPoolExecutor(readers + 1) as threads:
        provisioning = threads.submit(_provision, side, over)
        until = monotonic() + seconds
        reading = [
            # Each begins elsewhere, and elsewhere in each turn.
            threads.submit(_read, side, _from(7 * number + 11 * turn, requests), until, fewest)
            for number in range(readers)
        ]
        try:
            found = [measured for reader in reading for measured in reader.result()]
        finally:
            over.set()
        return found, provisioning.result()


def _read(
    side: Side, requests: Sequence[Request], until: float, fewest: int
) -> list[tuple[str, float]]:
    """Ask one thing after the other over one connection, as a browser does."""
    found: list[tuple[str, float]] = []
    with closing(_connect(side)) as connection:
        for kind, path in cycle(requests):
            began = perf_counter()
            _get(connection, side, path)
            found.append((kind, (perf_counter() - began) * 1000))
            if monotonic() >= until and len(found) >= fewest:
                break
    return found


def _requests(side: Side) -> list[Request]:
    """What is asked for, the kinds in turns: pages of the list, searches, filters, the status."""
    with closing(_connect(side)) as connection:
        pages = [LIST_PATH]
        while len(pages) < _PAGES:
            cursor = _get(connection, side, pages[-1])["nextCursor"]
            if cursor is None:
                break
            pages.append(_path(("cursor", cursor)))
    asked = {
        "list": cycle(pages),
        "search": cycle(_path(("search", text)) for text in SEARCHES),
        "filter": cycle(_path(*filters) for filters in FILTERS),
        "status": cycle([STATUS_PATH]),
    }
    rounds = len(SEARCHES) * len(FILTERS)
    return [(kind, next(asked[kind])) for _ in range(rounds) for kind in KINDS]


def _from(start: int, things: Sequence[Request]) -> list[Request]:
    return [things[(start + number) % len(things)] for number in range(len(things))]


def _path(*asked: tuple[str, str]) -> str:
    return f"{LIST_PATH}?{urlencode(asked)}"


def _provision(side: Side, over: Event) -> int:
    ready = 0
    with closing(_connect(side)) as connection:
        while not over.is_set():
            _provision_one(side, connection)
            ready += 1
    return ready


def _provision_one(side: Side, connection: HTTPConnection) -> None:
    """Register a client, and wait until it is ready."""
    email = f"it@m{uuid4().hex[:12]}.example.com"
    body = {"clientData": {"name": "Measured AG", "adminEmail": email}}
    headers = {**side.headers, "Content-Type": "application/json"}
    connection.request(
        "POST", f"{PROVISION_PATH}?wait=30", json.dumps(body).encode(), headers=headers
    )
    response = connection.getresponse()
    answered = response.read()
    if response.status not in {200, 202}:
        raise PostconditionNotMet(
            f"A registration was answered with {response.status}: {answered[:300]!r}"
        )
    document = json.loads(answered)
    until = monotonic() + _LONGEST_PROVISION_SECONDS
    while document["status"] in {"registered", "provisioning"}:
        if monotonic() > until:
            raise PostconditionNotMet("A client that was registered did not become ready.")
        sleep(_BETWEEN_LOOKS_SECONDS)
        document = _get(connection, side, f"{LIST_PATH}/{document['clientId']}") | {
            "clientId": document["clientId"]
        }
    if document["status"] != "ready":
        raise PostconditionNotMet(f"A client that was registered is {document['status']}.")


def _connect(side: Side) -> HTTPConnection:
    address = urlsplit(side.url)
    return HTTPConnection(address.hostname or "", address.port, timeout=60)


def _get(connection: HTTPConnection, side: Side, path: str) -> Any:
    connection.request("GET", path, headers=side.headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise PostconditionNotMet(f"{path} was answered with {response.status}: {body[:300]!r}")
    return json.loads(body)
