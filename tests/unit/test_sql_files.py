"""Queries live in ``.sql`` files: each has one name, is used, and is called as it is written."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import ghostcrm_provisioning
from ghostcrm_provisioning.named_sql import NamedSql

PACKAGE = Path(ghostcrm_provisioning.__file__).parent
SOURCES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
_PLACEHOLDER = re.compile(r"%\((?P<name>[a-z_]+)\)s")


@dataclass(frozen=True)
class QueryFile:
    """One file of queries, and the name under which the source knows it."""

    constant: str
    package: str
    file_name: str

    @property
    def path(self) -> Path:
        return PACKAGE.joinpath(*self.package.split(".")[1:]) / self.file_name

    @property
    def queries(self) -> NamedSql:
        return NamedSql(self.package, self.file_name)


def opened() -> Iterator[QueryFile]:
    """Every ``NAME = NamedSql(package, file)`` in the source."""
    for path, tree in SOURCES.items():
        here = ".".join((PACKAGE.name, *path.parent.relative_to(PACKAGE).parts))
        for node in ast.walk(tree):
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=constant)],
                    value=ast.Call(
                        func=ast.Name(id="NamedSql"), args=[package, ast.Constant(value=str(file))]
                    ),
                ):
                    named = package.value if isinstance(package, ast.Constant) else here
                    yield QueryFile(constant, str(named), file)


FILES = list(opened())
BY_CONSTANT = {file.constant: file for file in FILES}


@dataclass(frozen=True)
class Use:
    """A place where a query is taken: ``CONSTANT["name"]``, or ``CONSTANT[variable]``."""

    path: Path
    line: int
    constant: str
    name: str | None

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line} {self.constant}[{self.name!r}]"


def uses() -> Iterator[Use]:
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(value=ast.Name(id=constant), slice=key) if (
                    constant in BY_CONSTANT
                ):
                    name = key.value if isinstance(key, ast.Constant) else None
                    yield Use(path, node.lineno, constant, None if name is None else str(name))


USES = list(uses())


def test_every_file_of_queries_is_opened_under_one_name() -> None:
    assert len(FILES) == len(BY_CONSTANT) >= 9
    with_names = {
        path
        for path in PACKAGE.rglob("*.sql")
        if re.search(r"^-- name:", path.read_text(), re.M)
        and "blueprints" not in path.parts  # read with the blueprint
    }
    assert with_names == {file.path for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.file_name)
def test_every_query_has_one_well_formed_name(file: QueryFile) -> None:
    text = file.path.read_text(encoding="utf-8")
    claimed = [line for line in text.splitlines() if line.lower().replace(" ", "")[:7] == "--name:"]
    names = [line.removeprefix("-- name: ") for line in claimed]
    assert names == file.queries.names()
    assert len(set(names)) == len(names) > 0
    # Nothing but comments stands before the first name.
    head = text.split("-- name:")[0]
    assert all(line.startswith("--") or not line.strip() for line in head.splitlines())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.file_name)
def test_every_query_says_something(file: QueryFile) -> None:
    for name in file.queries.names():
        body = re.sub(r"--[^\n]*", "", file.queries[name]).strip()
        assert body, name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.file_name)
def test_every_query_is_used(file: QueryFile) -> None:
    used: set[str | None] = {use.name for use in USES if use.constant == file.constant}
    if None in used:  # chosen by a variable: the name stands as a text somewhere in the same module
        paths = {use.path for use in USES if use.constant == file.constant and use.name is None}
        used |= {
            node.value
            for path in paths
            for node in ast.walk(SOURCES[path])
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    assert sorted(set(file.queries.names()) - used) == []


@pytest.mark.parametrize("use", [use for use in USES if use.name is not None], ids=str)
def test_every_query_that_is_used_exists(use: Use) -> None:
    assert use.name in BY_CONSTANT[use.constant].queries.names()


def test_every_file_of_queries_is_used() -> None:
    assert set(Counter(use.constant for use in USES)) == set(BY_CONSTANT)


# --- placeholders ---------------------------------------------------------------------------------


def calls() -> Iterator[tuple[Use, ast.Call]]:
    """Calls whose first argument is a query."""
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr="SQL")):
                    continue  # a query in which identifiers are still to be put
                case ast.Call(
                    args=[
                        ast.Subscript(
                            value=ast.Name(id=constant), slice=ast.Constant(value=str(name))
                        ),
                        *_,
                    ]
                ) if constant in BY_CONSTANT:
                    yield Use(path, node.lineno, constant, name), node


CALLS = list(calls())


def test_most_queries_are_called_by_their_names() -> None:
    assert len(CALLS) > 50


@pytest.mark.parametrize(("use", "call"), CALLS, ids=[str(use) for use, _ in CALLS])
def test_a_query_is_called_with_the_parameters_it_names(use: Use, call: ast.Call) -> None:
    assert use.name is not None
    query = BY_CONSTANT[use.constant].queries[use.name]
    wanted = {found["name"] for found in _PLACEHOLDER.finditer(query)}
    # With parameters, psycopg reads % as its own; without, it does not.
    lone = _PLACEHOLDER.sub("", query).replace("%%", "")
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    keywords = {keyword.arg for keyword in call.keywords} - {"prepare"}  # psycopg's own
    of_ours = method in {"fetch_one", "fetch_all"} or (
        method == "execute" and bool(keywords) and len(call.args) == 1
    )
    if not of_ours and len(call.args) == 1:
        assert not wanted, "parameters are missing"
        assert "%%" not in query, "%% stays as it is without parameters"
        return
    assert "%" not in lone, "a % that psycopg would misread"
    if of_ours:
        assert None in keywords or keywords == wanted
    elif isinstance(call.args[1], ast.Dict) and all(
        isinstance(key, ast.Constant) for key in call.args[1].keys
    ):
        given = {str(key.value) for key in call.args[1].keys if isinstance(key, ast.Constant)}
        assert given == wanted


# --- the reader itself ----------------------------------------------------------------------------


def test_a_query_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        NamedSql("ghostcrm_provisioning.clients", "clients.sql")["nonsense"]


def test_a_file_that_names_a_query_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "queries_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "twice.sql").write_text("-- name: one\nselect 1\n-- name: one\nselect 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="twice"):
        NamedSql("queries_of_a_test", "twice.sql")
