"""What the catalog of a client database says about who may do what: a fingerprint, the facts in words,
and how they differ from those on which isolation was proven.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.isolation.verdict import Finding
from ghostcrm_provisioning.named_sql import NamedSql

CATALOG = NamedSql(__package__, "catalog.sql")

Connection = AsyncConnection[DictRow]

_CALLERS = ("everyone may EXECUTE", "anon may EXECUTE", "authenticated may EXECUTE")

# What it is, what it is about, and what is so: ("grant on relation", "public.deals", "anon may SELECT").
Fact = tuple[str, str, str]

# A whole new one of these may be a client's own: the rules and the attack judge it. (But for a function
# with its owner's rights.)
_CAN_BE_NEW = frozenset({"schema", "relation", "function"})
# Tables, whose options decide nothing about who may see what, as those of a view do.
_TABLES = ("r ", "p ", "m ")
# Characters of a fact in a sentence, and of what comes before the place where two of them differ.
_SHORT = 200
_SHOWN_BEFORE = 60
_COLUMNS_NOTED = ("column", "")
# The thing that a fact of this kind is about is the thing of that kind which its subject begins with.
_BELONGS_TO = {
    "policy": "relation",
    "trigger": "relation",
    "rule": "relation",
    "inheritance": "relation",
    "grant on relation": "relation",
    "grant on function": "function",
    "grant on schema": "schema",
}


@dataclass(frozen=True)
class ProvenCatalog:
    """The catalog on which isolation was proven, and some tables that had rows then."""

    fingerprint: str
    with_rows_in: tuple[str, ...]


async def read_fingerprint(
    connection: Connection, *, server: Connection | None = None, ground: Ground = PLAIN
) -> tuple[str, int]:
    """Of the versions of the catalog's rows, equal in a template and its untouched copies; and how
    many tables public has.

    Args:
        server: to the same server, in whatever database, for what all of its databases share; read at the
            same time.
    """
    own, shared = await asyncio.gather(
        _read_one(connection, "row_versions"),
        _read_one(server or connection, "shared_rows", ground.rules),
    )
    fingerprint = f"{own['fingerprint']} {shared['fingerprint']}"
    return fingerprint, int(own["tables"])


async def _read_one(
    connection: Connection, name: str, parameters: Mapping[str, Any] | None = None
) -> DictRow:
    row = await (await connection.execute(CATALOG[name], parameters)).fetchone()
    if row is None:
        raise LookupError(f"an aggregate without a row: {name}")
    return row


async def read_facts(connection: Connection, *, ground: Ground = PLAIN) -> frozenset[Fact]:
    async with named_in_full(connection):
        rows = await (await connection.execute(CATALOG["facts"], ground.rules)).fetchall()
    return frozenset((row["kind"], row["subject"], row["fact"]) for row in rows)


@asynccontextmanager
async def named_in_full(connection: Connection) -> AsyncIterator[None]:
    """PostgreSQL leaves a schema out of a name where the connection would find it without: what is
    compared must not depend on who reads it."""
    async with connection.transaction(force_rollback=True):
        await connection.execute(CATALOG["find_nothing_by_itself"])
        yield


async def read_proven(connection: Connection) -> ProvenCatalog | None:
    """What was proven on the template, or at birth; None when nothing was."""
    row = await (await connection.execute(CATALOG["read_proof"])).fetchone()
    if row is None or row["proven_catalog"] is None:
        return None
    return ProvenCatalog(row["proven_catalog"], tuple(row["proven_with_rows_in"] or ()))


async def read_proven_facts(connection: Connection) -> frozenset[Fact]:
    """What was proven on the template, or at birth, in words; empty when nothing was."""
    row = await (await connection.execute(CATALOG["read_proven_facts"])).fetchone()
    facts = row["proven_facts"] if row is not None else None
    return frozenset((kind, subject, fact) for kind, subject, fact in facts or ())


async def write_proven(
    connection: Connection, with_rows_in: Iterable[str], *, ground: Ground = PLAIN
) -> None:
    """Keep the present catalog as the proven one."""
    fingerprint, _ = await read_fingerprint(connection, ground=ground)
    await connection.execute(
        CATALOG["write_proof"],
        {
            "fingerprint": fingerprint,
            "facts": json.dumps(sorted(await read_facts(connection, ground=ground))),
            "with_rows_in": list(with_rows_in),
        },
    )


def compare(proven: frozenset[Fact], seen: frozenset[Fact]) -> list[Finding]:
    """Whatever is gone, and whatever was added to something that was there when it was proven."""
    there = {(kind, subject) for kind, subject, _ in proven}
    if any(kind == "column" for kind, _ in there):
        there.add(_COLUMNS_NOTED)
    proven, seen = _that_matter(proven), _that_matter(seen)
    added = sorted(fact for fact in seen - proven if not _is_of_new_thing(fact, there))
    gone = sorted(proven - seen)
    changed = {(kind, subject) for kind, subject, _ in gone} & {
        (kind, subject) for kind, subject, _ in added
    }
    now = {(kind, subject): fact for kind, subject, fact in added}
    findings = []
    for kind, subject, fact in gone:
        code = f"{_code(kind)}_{'differs' if (kind, subject) in changed else 'missing'}"
        sentence = f"The proven {kind} on {subject} is gone: {fact}."
        if not kind.startswith("grant"):
            was, is_now = _from_where_they_differ(fact, now.get((kind, subject)))
            sentence = f"The {kind} {subject} is not as it was proven; it was: {was}"
            sentence += "." if is_now is None else f"; it is: {is_now}."
        findings.append(Finding(code, sentence, subject=subject))
    for kind, subject, fact in added:
        if (kind, subject) in changed and not kind.startswith("grant"):
            continue  # told already
        joint = f"The {kind} {subject} was added" if not kind.startswith("grant") else ""
        sentence = f"{joint or f'Added {kind} {subject}'}: {_short(fact)}."
        findings.append(Finding(f"{_code(kind)}_added", sentence, subject=subject))
    return findings + _new_definers(seen, there)


def _that_matter(facts: frozenset[Fact]) -> frozenset[Fact]:
    """Without the columns, which only say what was there, and how a table is stored and vacuumed, which is
    for its owner to tune."""
    return frozenset(
        (
            kind,
            subject,
            fact.partition("; options ")[0]
            if kind == "relation" and fact.startswith(_TABLES)
            else fact,
        )
        for kind, subject, fact in facts
        if kind != "column"
    )


def _new_definers(seen: frozenset[Fact], there: set[tuple[str, str]]) -> list[Finding]:
    """New functions that lend their owner's rights to users: no policy is asked inside them, and what
    they let out, no attack can know."""
    return [
        Finding(
            "definer_added",
            f"The function {subject} was added; signed-in users may execute it, and it runs with its "
            "owner's rights.",
            subject=subject,
        )
        for kind, subject, fact in sorted(seen)
        if kind == "function"
        and (kind, subject) not in there
        and "; definer; " in fact
        and any(("grant on function", subject, caller) in seen for caller in _CALLERS)
    ]


def _is_of_new_thing(fact: Fact, there: set[tuple[str, str]]) -> bool:
    kind, subject, _ = fact
    if kind in _CAN_BE_NEW:
        return (kind, subject) not in there
    if kind == "grant on column":
        table = subject.rpartition(".")[0]
        if ("relation", table) not in there:
            return True
        # What was proven before columns were noted, does not tell which are new.
        return _COLUMNS_NOTED in there and ("column", subject) not in there
    owner = _BELONGS_TO.get(kind)
    if owner is None:
        return False
    about = subject if kind.startswith("grant") else subject.partition(" ")[0]
    return (owner, about) not in there


def _code(kind: str) -> str:
    return "grant" if kind.startswith("grant") else kind


def _from_where_they_differ(was: str, is_now: str | None) -> tuple[str, str | None]:
    """Both short enough for a sentence: of long ones that begin alike, the part where they do not."""
    if is_now is None:
        return _short(was), None
    pairs = zip(was, is_now, strict=False)
    alike = next((at for at, (old, new) in enumerate(pairs) if old != new), len(was))
    if alike <= _SHOWN_BEFORE or max(len(was), len(is_now)) <= _SHORT:
        return _short(was), _short(is_now)
    begin = alike - _SHOWN_BEFORE
    return f"…{_short(was[begin:])}", f"…{_short(is_now[begin:])}"


def _short(fact: str) -> str:
    return fact if len(fact) <= _SHORT else f"{fact[:_SHORT]}…"
