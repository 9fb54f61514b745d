"""Splits an SQL script into its statements, so that an error can be told by file and line.

Knows what can hide a semicolon: quotes (also ``E''`` with backslashes), dollar quotes, quoted
identifiers, nested comments, parentheses and ``BEGIN ATOMIC … END`` bodies (PostgreSQL
documentation, 4.1 *Lexical Structure*). It does not parse: what is inside a statement is
PostgreSQL's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<line_comment>   --[^\n]* )
    | (?P<block_comment>  /\* )
    | (?P<escape_string>  (?<![a-zA-Z0-9_$\x80-\U0010ffff]) [eE]' (?: [^'\\] | \\. | '' )* (?:'|\Z) )
    | (?P<string>         ' (?: [^'] | '' )* (?:'|\Z) )
    | (?P<identifier>     " (?: [^"] | "" )* (?:"|\Z) )
    | (?P<dollar>         (?<![a-zA-Z0-9_$\x80-\U0010ffff])
                          \$ (?:[a-zA-Z_\x80-\U0010ffff][a-zA-Z0-9_\x80-\U0010ffff]*)? \$ )
    | (?P<word>           [a-zA-Z_\x80-\U0010ffff][a-zA-Z0-9_$\x80-\U0010ffff]* )
    | (?P<open>           [(\[] )
    | (?P<close>          [)\]] )
    | (?P<end>            ; )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_COMMENT_EDGE = re.compile(r"/\*|\*/")
_BLANK_OR_COMMENT = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z))+")
_TRANSACTION_CONTROL = re.compile(
    r"(?i)(begin|commit|end|rollback|abort|savepoint|start\s+transaction|prepare\s+transaction)\b"
)


# Whoever runs a migration may not become somebody else in the middle of it, nor in a function that it
# makes. A fence for mistakes, no wall: text can be put together while it runs.
_BECOMES = r"(?:set|reset)\s+(?:(?:session|local)\s+)?(?:role|session\s+authorization)\b"
_IDENTITY_CHANGE = re.compile(rf"(?is)(?:{_BECOMES}|discard\s+all\b)")
# At the beginning of a statement of the body: an UPDATE may set a column of that name.
_IDENTITY_CHANGE_INSIDE = re.compile(
    rf"(?is)(?:(?:[;']|\b(?:begin|then|else|loop|as))\s*{_BECOMES}|\bset_config\s*\(\s*'(?:role|session_authorization)')"
)
_HAS_A_BODY = re.compile(
    r"(?i)(?:do|create\s+(?:or\s+replace\s+)?(?:function|procedure)|call|select)\b"
)


@dataclass(frozen=True)
class Statement:
    """One statement, without its semicolon; ``line`` is where its first word stands, from 1."""

    text: str
    line: int

    @property
    def controls_transaction(self) -> bool:
        """Whether it would begin or end a transaction."""
        return _TRANSACTION_CONTROL.match(self.text) is not None

    @property
    def changes_identity(self) -> bool:
        """Whether it would make the rest of the script run with another role's rights."""
        plain = _plain(self.text)
        if _IDENTITY_CHANGE.match(plain):
            return True
        return bool(_HAS_A_BODY.match(plain) and _IDENTITY_CHANGE_INSIDE.search(plain))

    def line_at(self, position: int) -> int:
        """The script's line of PostgreSQL's error position (characters, from 1)."""
        return self.line + self.text.count("\n", 0, max(position - 1, 0))


def split_statements(script: str) -> list[Statement]:
    """The statements of ``script`` in their order; comments alone are no statement."""
    statements = []
    for start, end in _spans(script):
        first = _first_word(script, start, end)
        if first < end:
            text = script[first:end].rstrip()
            statements.append(Statement(text, script.count("\n", 0, first) + 1))
    return statements


def _spans(script: str) -> Iterator[tuple[int, int]]:
    start = at = parentheses = atomic = 0
    previous_word = ""
    while match := _TOKEN.search(script, at):
        at = match.end()
        kind = match.lastgroup
        if kind == "block_comment":
            at = _end_of_block_comment(script, at)
        elif kind == "dollar":
            closing = script.find(match.group(), at)
            at = len(script) if closing < 0 else closing + len(match.group())
        elif kind == "word":
            word = match.group().lower()
            if atomic:
                # Inside BEGIN ATOMIC, only CASE opens another END.
                atomic += (word == "case") - (word == "end")
            elif word == "atomic" and previous_word == "begin":
                atomic = 1
            previous_word = word
        elif kind == "open":
            parentheses += 1
        elif kind == "close":
            parentheses = max(0, parentheses - 1)
        elif kind == "end" and not parentheses and not atomic:
            yield start, match.start()
            start = at
    yield start, len(script)


def _plain(text: str) -> str:
    """The statement without comments and without the quotes of its identifiers; bodies likewise."""
    parts = []
    at = 0
    while match := _TOKEN.search(text, at):
        parts.append(text[at : match.start()])
        at = match.end()
        kind = match.lastgroup
        if kind == "line_comment":
            parts.append(" ")
        elif kind == "block_comment":
            parts.append(" ")
            at = _end_of_block_comment(text, at)
        elif kind == "identifier":
            parts.append(match.group().strip('"'))
        elif kind == "dollar":
            closing = text.find(match.group(), at)
            end = len(text) if closing < 0 else closing
            parts.append(f" {_plain(text[at:end])} ")
            at = min(len(text), end + len(match.group()))
        else:
            parts.append(match.group())
    parts.append(text[at:])
    return "".join(parts)


def _end_of_block_comment(script: str, at: int) -> int:
    depth = 1
    while depth and (edge := _BLOCK_COMMENT_EDGE.search(script, at)):
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at if not depth else len(script)


def _first_word(script: str, start: int, end: int) -> int:
    """Where the statement begins once blanks and comments before it are passed over."""
    at = start
    while at < end:
        if blank := _BLANK_OR_COMMENT.match(script, at, end):
            at = blank.end()
        elif script.startswith("/*", at):
            at = _end_of_block_comment(script, at + 2)
        else:
            return at
    return end
