"""The access matrix of a blueprint: which role may do what to whose rows, as data.

```
access/matrix.toml      grids: a line for each role, a column for each kind of row
access/rows.sql         the people and rows on which it is tried, in a transaction that is rolled back
access/statements.sql   how the caller gets a role, and the calls
```

This reads and checks those files; trying them is the attack's part (:mod:`.isolation.attack`).
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ghostcrm_provisioning.errors import InvalidBlueprint

OPERATIONS = {"s": "select", "i": "insert", "u": "update", "d": "delete"}
_CELL = re.compile(r"[s.-][i.-][u.-][d.-]")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STATEMENT = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)
_BECOME_ROLE = "become_role"


class _Subject(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = ""
    cells: str


class _CallDeclaration(_Subject):
    table: str
    function: str = Field(description="Its name and the types of its arguments, in public.")


class _Declaration(BaseModel):
    """``matrix.toml`` as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: tuple[str, ...] = Field(min_length=1)
    people: tuple[str, ...] = Field(min_length=1)
    me: str
    deactivated: str | None = None
    tables: dict[str, _Subject]
    calls: dict[str, _CallDeclaration] = Field(default_factory=dict)


@dataclass(frozen=True)
class TableGrid:
    """What each role may do with each kind of row of one table.

    ``cells[role][kind]`` holds for each operation True (must be possible), False (must be refused) or
    None (the question does not arise).
    """

    table: str
    about: str
    kinds: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Mapping[str, bool | None]]] = field(hash=False)


@dataclass(frozen=True)
class Call:
    """A function that signed-in users may execute, tried on each kind of row of a table."""

    name: str
    table: str
    function: str
    about: str
    kinds: tuple[str, ...]
    statement: LiteralString
    cells: Mapping[str, Mapping[str, bool | None]] = field(hash=False)


@dataclass(frozen=True)
class AccessMatrix:
    """A blueprint's access matrix as it was on disk when it was read."""

    roles: tuple[str, ...]
    people: tuple[str, ...]
    me: str
    deactivated: str | None
    tables: Mapping[str, TableGrid] = field(hash=False)
    calls: Mapping[str, Call] = field(hash=False)
    become_role: LiteralString
    rows: str
    fingerprint: str

    def count_cells(self) -> int:
        """How many questions it answers."""
        tables = sum(
            answer is not None
            for grid in self.tables.values()
            for by_kind in grid.cells.values()
            for answers in by_kind.values()
            for answer in answers.values()
        )
        calls = sum(
            answer is not None
            for call in self.calls.values()
            for by_kind in call.cells.values()
            for answer in by_kind.values()
        )
        return tables + calls


def person_id(name: str) -> UUID:
    """The id of one of the matrix's people: in SQL ``md5('person <name>')::uuid``."""
    return _name_id(f"person {name}")


def row_id(table: str, kind: str) -> UUID:
    """The id of the row of that kind: in SQL ``md5('<table> <kind>')::uuid``."""
    return _name_id(f"{table} {kind}")


def _name_id(name: str) -> UUID:
    # No secret: a name that SQL and Python can both make an id of.
    return UUID(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())


def read_access_matrix(folder: Path) -> AccessMatrix | None:
    """The matrix in a blueprint's ``access`` folder; None when the blueprint has no such folder.

    Raises:
        InvalidBlueprint: naming the file and what is wrong with it.
    """
    if not folder.is_dir():
        return None
    texts = {
        name: _read_text(folder / name) for name in ("matrix.toml", "rows.sql", "statements.sql")
    }
    path = folder / "matrix.toml"
    try:
        declaration = _Declaration.model_validate(tomllib.loads(texts["matrix.toml"]))
    except tomllib.TOMLDecodeError as problem:
        raise InvalidBlueprint(f"{path} cannot be read: {problem}.") from None
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidBlueprint(f"{path}: {place}: {first['msg']}.") from None
    for person in (declaration.me, declaration.deactivated):
        if person is not None and person not in declaration.people:
            raise InvalidBlueprint(f"{path}: {person!r} is not one of the people.")
    statements = _named_statements(texts["statements.sql"])
    if _BECOME_ROLE not in statements:
        raise InvalidBlueprint(f"{folder / 'statements.sql'} has no statement {_BECOME_ROLE}.")
    roles = declaration.roles
    tables = {
        name: _table_grid(path, name, subject, roles)
        for name, subject in declaration.tables.items()
    }
    calls = {
        name: _call(path, name, call, roles, tables, statements)
        for name, call in declaration.calls.items()
    }
    digest = hashlib.sha256("\0".join(texts[name] for name in sorted(texts)).encode())
    return AccessMatrix(
        roles=roles,
        people=declaration.people,
        me=declaration.me,
        deactivated=declaration.deactivated,
        tables=tables,
        calls=calls,
        become_role=statements[_BECOME_ROLE],
        rows=texts["rows.sql"],
        fingerprint=digest.hexdigest(),
    )


def _table_grid(path: Path, name: str, subject: _Subject, roles: tuple[str, ...]) -> TableGrid:
    kinds, lines = _parse_grid(path, f"tables.{name}", subject.cells, roles)
    cells: dict[str, dict[str, dict[str, bool | None]]] = {}
    for role, words in lines:
        cells[role] = {}
        for kind, word in zip(kinds, words, strict=True):
            if _CELL.fullmatch(word) is None:
                raise InvalidBlueprint(
                    f"{path}: tables.{name}: {role}, {kind}: {word!r} is no cell.",
                    next_step="Write four places: s, i, u, d; a dash for what is refused; a point "
                    "where the question does not arise.",
                )
            cells[role][kind] = {
                operation: None if letter == "." else letter != "-"
                for operation, letter in zip(OPERATIONS.values(), word, strict=True)
            }
    return TableGrid(name, subject.about, kinds, cells)


def _call(
    path: Path,
    name: str,
    declared: _CallDeclaration,
    roles: tuple[str, ...],
    tables: Mapping[str, TableGrid],
    statements: Mapping[str, LiteralString],
) -> Call:
    place = f"calls.{name}"
    if declared.table not in tables:
        raise InvalidBlueprint(f"{path}: {place}: there is no grid of the table {declared.table}.")
    if name not in statements:
        raise InvalidBlueprint(f"{path}: {place}: statements.sql has no statement {name}.")
    kinds, lines = _parse_grid(path, place, declared.cells, roles)
    if unknown := [kind for kind in kinds if kind not in tables[declared.table].kinds]:
        raise InvalidBlueprint(f"{path}: {place}: {declared.table} has no rows {unknown[0]!r}.")
    cells: dict[str, dict[str, bool | None]] = {}
    for role, words in lines:
        if wrong := [word for word in words if word not in {"x", "-", "."}]:
            raise InvalidBlueprint(f"{path}: {place}: {role}: {wrong[0]!r} is no cell (x, - or .).")
        cells[role] = {
            kind: None if word == "." else word == "x"
            for kind, word in zip(kinds, words, strict=True)
        }
    return Call(
        name, declared.table, declared.function, declared.about, kinds, statements[name], cells
    )


def _parse_grid(
    path: Path, place: str, text: str, roles: tuple[str, ...]
) -> tuple[tuple[str, ...], list[tuple[str, list[str]]]]:
    """The kinds, and for each role its cells."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    head, body = (lines[0], lines[1:]) if lines else ([], [])
    if not head or any(_NAME.fullmatch(kind) is None for kind in head):
        raise InvalidBlueprint(f"{path}: {place}: its first line names the kinds of rows.")
    if tuple(words[0] for words in body) != roles:
        raise InvalidBlueprint(
            f"{path}: {place}: it needs one line for each role, in their order: {', '.join(roles)}."
        )
    for role, *words in body:
        if len(words) != len(head):
            raise InvalidBlueprint(
                f"{path}: {place}: {role} has {len(words)} cells for {len(head)} kinds of rows."
            )
    return tuple(head), [(role, words) for role, *words in body]


def _named_statements(text: str) -> dict[str, LiteralString]:
    """The statements of a file as in :mod:`ghostcrm_provisioning.named_sql`. A blueprint is the
    operator's own code, so its text is trusted like ours."""
    parts = _STATEMENT.split(text)[1:]
    names: Iterator[str] = iter(parts[::2])
    return {
        name: cast("LiteralString", body.strip())
        for name, body in zip(names, parts[1::2], strict=True)
    }


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidBlueprint(f"{path} cannot be read: {problem}.") from None
