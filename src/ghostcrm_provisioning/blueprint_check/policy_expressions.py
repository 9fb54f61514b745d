"""Reads the expressions of policies: what they call, and what they compare.

PostgreSQL writes an expression back in one form (``pg_get_expr``): a subquery stands in parentheses
and begins with SELECT, and with an empty search_path every name that is not PostgreSQL's own has its
schema. So tokens and parentheses are enough to read it by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

_NAME = r'(?:\w+|"(?:[^"]|"")+")'
_TOKEN = re.compile(
    rf"""
      (?P<string>  [eE]? ' (?: [^'] | '' )* ' )
    | (?P<cast>    ::\s*{_NAME}(?:\.{_NAME})*(?:\s+varying|\s+with(?:out)?\s+time\s+zone)?(?:\[\])* )
    | (?P<name>    {_NAME}(?:\.{_NAME})* )
    | (?P<open>    \( )
    | (?P<close>   \) )
    | (?P<sign>    [^\s\w()']+ )
    """,
    re.VERBOSE,
)
# What may stand in an expression and is no column.
_WORDS = frozenset(
    {"and", "or", "not", "is", "null", "true", "false", "any", "all", "array", "exists"}
)
_OR = ("name", "OR")
_OPERATORS = frozenset({"AND", "OR", "NOT", "SELECT", "WHERE", "ON", "IN", "ANY", "ALL", "EXISTS"})
# What tells one caller from another; PostgreSQL's other functions cost next to nothing.
_ASKS_WHO = re.compile(r"(?:pg_catalog\.)?current_setting|\w+\..+")


@dataclass(frozen=True)
class Call:
    """A function that a policy calls, and how."""

    name: str
    once_per_query: bool
    takes_columns: bool


def calls(expression: str) -> Iterator[Call]:
    """The calls in an expression of functions that are not PostgreSQL's own, or ask who is there."""
    tokens = [(match.lastgroup, match.group()) for match in _TOKEN.finditer(expression)]
    # For each open parenthesis: whether it is, or stands in, a subquery whose WHERE has not begun.
    once: list[bool] = []
    for at, (kind, text) in enumerate(tokens):
        if kind == "open":
            within = bool(once) and once[-1]
            once.append(within or tokens[at + 1 : at + 2] == [("name", "SELECT")])
        elif kind == "close" and once:
            once.pop()
        elif kind == "name" and text in {"WHERE", "ON"} and once:
            once[-1] = False
        elif (
            kind == "name"
            and tokens[at + 1 : at + 2] == [("open", "(")]
            and _ASKS_WHO.fullmatch(text)
        ):
            yield Call(text, bool(once) and once[-1], _takes_columns(tokens[at + 2 :]))


def _takes_columns(tokens: list[tuple[str | None, str]]) -> bool:
    """Whether there is a column among the arguments, up to the parenthesis that ends them."""
    depth = 0
    for at, (kind, text) in enumerate(tokens):
        if kind == "open":
            depth += 1
        elif kind == "close":
            if depth == 0:
                break
            depth -= 1
        elif (
            kind == "name"
            and not text[0].isdigit()
            and text.lower() not in _WORDS
            and tokens[at + 1 : at + 2] != [("open", "(")]
        ):
            return True
    return False


@dataclass
class _Group:
    """What stands between two parentheses: tokens and further groups."""

    parts: list[tuple[str, str] | _Group] = field(default_factory=list)

    @property
    def asks(self) -> bool:
        """Whether a subquery or a function in it says who is there, or what they may see."""
        return any(
            part.asks if isinstance(part, _Group) else self._part_asks(at, part)
            for at, part in enumerate(self.parts)
        )

    def _part_asks(self, at: int, part: tuple[str, str]) -> bool:
        kind, text = part
        if kind != "name":
            return False
        is_call = isinstance(self._part(at + 1), _Group) and bool(_ASKS_WHO.fullmatch(text))
        return is_call or (text == "SELECT" and at == 0)

    def _part(self, at: int) -> tuple[str, str] | _Group | None:
        return self.parts[at] if 0 <= at < len(self.parts) else None

    def comparisons(self) -> Iterator[str]:
        """Columns that are compared with what asks, where an index could find the rows.

        Of alternatives, every one needs an index: beside one that compares no column, such as a role's, all rows
        are looked at anyway.
        """
        alternatives = [list(each) for each in self._alternatives()]
        if len(alternatives) == 1 or all(alternatives):
            yield from chain.from_iterable(alternatives)

    def _alternatives(self) -> Iterator[Iterator[str]]:
        """What is compared in each part between one OR and the next."""
        begin = 0
        for at, part in enumerate([*self.parts, _OR]):
            if part == _OR:
                yield _Group(self.parts[begin:at])._compared()
                begin = at + 1

    def _compared(self) -> Iterator[str]:
        for at, part in enumerate(self.parts):
            if isinstance(part, _Group):
                yield from part.comparisons()
            elif part in {("sign", "="), ("name", "IN")}:
                left, right = self._operand_before(at), self._operand_after(at)
                for column, other in ((left, right), (right, left)):
                    if isinstance(column, str) and isinstance(other, _Group) and other.asks:
                        yield column

    def _operand_before(self, at: int) -> str | _Group | None:
        at -= 1
        while isinstance(part := self._part(at), tuple) and part[0] == "cast":
            at -= 1
        if isinstance(part, _Group):
            called = self._part(at - 1)
            is_call = (
                isinstance(called, tuple) and called[0] == "name" and called[1] not in _OPERATORS
            )
            return _Group([called, part]) if is_call and called else part
        return part[1] if part and part[0] == "name" else None

    def _operand_after(self, at: int) -> str | _Group | None:
        part, following = self._part(at + 1), self._part(at + 2)
        if isinstance(part, tuple) and part[0] == "name" and isinstance(following, _Group):
            return _Group([part, following])  # a call, or ANY (…)
        if isinstance(part, _Group):
            return part
        return part[1] if part and part[0] == "name" else None


def _grouped(expression: str) -> _Group:
    whole = _Group()
    open_groups = [whole]
    for match in _TOKEN.finditer(expression):
        kind = match.lastgroup or ""
        if kind == "open":
            group = _Group()
            open_groups[-1].parts.append(group)
            open_groups.append(group)
        elif kind == "close" and len(open_groups) > 1:
            open_groups.pop()
        elif kind != "close":
            open_groups[-1].parts.append((kind, match.group()))
    return whole


def compared_columns(expression: str, table: str) -> set[tuple[bool, str]]:
    """Columns that are compared with what a subquery or a function says: whether it is one of the
    policy's own ``table`` (its bare name), and the column's name."""
    found = set()
    for name in _grouped(expression).comparisons():
        qualifier, _, column = name.rpartition(".")
        found.add((qualifier.strip('"') in {"", table}, column.strip('"')))
    return found
