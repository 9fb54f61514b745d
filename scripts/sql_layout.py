"""Makes expressions that PostgreSQL prints back easy to read: without the casts and aliases that it
adds, in lower case, and broken into lines where a person would break them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 96
_INDENT = "    "
_STRING = re.compile(r"('(?:[^']|'')*')")
_KEYWORD = re.compile(
    r"\b(?:AND|OR|NOT|IS|NULL|IN|ANY|ALL|ARRAY|SELECT|FROM|WHERE|AS|CHECK|UNIQUE|PRIMARY|FOREIGN|KEY"
    r"|REFERENCES|ON|DELETE|UPDATE|SET|CASCADE|RESTRICT|CASE|WHEN|THEN|ELSE|END|EXISTS|BETWEEN|LIKE"
    r"|DESC|ASC|NULLS|FIRST|LAST|DISTINCT|COLLATE|TRUE|FALSE|DEFERRABLE|INITIALLY|DEFERRED|JOIN|AT"
    r"|TIME|ZONE|INCLUDE|LIMIT|ORDER|BY|UNION|EXCLUDE|USING|WITH|COALESCE|LEAST|GREATEST|NULLIF"
    r"|EXTRACT|DEFAULT|CURRENT_TIMESTAMP|CURRENT_DATE|SIMILAR|ILIKE|WITHOUT|OVERLAPS|FOR|ROW|OFFSET|SETOF)\b"
)
_SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "character varying": "varchar",
    "character(": "char(",
}
# A scalar subquery around a call, with which policies have it evaluated once: noise for a reader.
_SET_ONCE = re.compile(r"array\( ?select ((?:\w+\.)?\w+\((?:[^()]*)\)) as \w+\)")
_ONCE = re.compile(r"\( ?select ((?:\w+\.)?\w+\((?:[^()]*)\)) as \w+\)")
_CAST = re.compile(
    r"::(?:text|bpchar|jsonb|numeric|bigint|smallint|integer|double precision|interval"
    r"|timestamptz|varchar|name|regclass)\b(?:\[\])?|(?<=null)::\w+"
)
_CASE = re.compile(r"(?<!\w)case ")
_END = re.compile(r"(?<= )end\b")
_ANY_OF = re.compile(r"(?P<before>\w|\)) = any \(array\[(?P<items>[^\[\]]*)\]\)")
_NONE_OF = re.compile(r"(?P<before>\w|\)) <> all \(array\[(?P<items>[^\[\]]*)\]\)")


def simplified(expression: str) -> str:
    """The same, as a person would have written it; on one line."""
    # What stands between quotes stays as it is: a mark takes its place meanwhile.
    strings: list[str] = []

    def set_aside(found: re.Match[str]) -> str:
        strings.append(found.group())
        return f"\0{len(strings) - 1}\0"

    text = " ".join(_STRING.sub(set_aside, expression).split())
    text = _KEYWORD.sub(lambda found: found.group().lower(), text)
    text = _CAST.sub("", with_short_types(text))
    text = _ONCE.sub(r"\1", _SET_ONCE.sub(r"\1", text))
    text = re.sub(r"\(\s+", "(", text)
    text = re.sub(r"(?<!any )(?<!all )\((\w+\.\w+\(\))\)", r"\1", text)
    text = _ANY_OF.sub(r"\g<before> in (\g<items>)", text)
    text = _NONE_OF.sub(r"\g<before> not in (\g<items>)", text)
    text = text.replace(" !~~ ", " not like ").replace(" ~~ ", " like ")
    return re.sub(r"\0(\d+)\0", lambda found: strings[int(found.group(1))], text)


def with_short_types(text: str) -> str:
    """With the names of types that people write."""
    for long, short in _SHORT_TYPES.items():
        text = text.replace(long, short)
    return text


def lay_out(text: str, *, depth: int = 0) -> list[str]:
    """Lines of at most :data:`WIDTH`, where that can be; each deeper level is indented."""
    return [line.rstrip() for line in _laid_out(text.strip(), depth)]


def _laid_out(text: str, depth: int) -> Iterator[str]:
    pad = _INDENT * depth
    if len(pad) + len(text) <= WIDTH:
        yield pad + text
        return
    if cases := _cases(text):
        yield pad + cases[0]
        for case in cases[1:-1]:
            yield from _laid_out(case, depth + 1)
        yield pad + cases[-1]
        return
    for separator in (" or ", " and "):
        terms = _split(text, separator)
        if len(terms) > 1:
            for number, term in enumerate(terms):
                shown = without_needless_parentheses(term)
                if separator == " or " and len(_split(shown, " and ")) > 1:
                    shown = f"({shown})"
                yield from _laid_out(
                    shown if number == 0 else f"{separator.strip()} {shown}", depth
                )
            return
    opened = _outermost(text)
    if opened is None:
        yield pad + text
        return
    begin, end = opened
    yield pad + text[: begin + 1]
    inner = text[begin + 1 : end].strip()
    terms = _split(inner, ", ")
    if len(terms) > 1:
        yield from _packed(terms, depth + 1)
    else:
        yield from _laid_out(inner, depth + 1)
    yield from _laid_out(text[end:], depth)


def _cases(text: str) -> list[str]:
    """The lines of a CASE that is all of ``text``; empty where it is not."""
    found = re.fullmatch(r"(?P<head>(?:(?:and|or) )?case)(?P<body> .*) end", text)
    if found is None:
        return []
    subject, *branches = _split(found["body"], " when ")
    *others, last = branches
    last, *otherwise = _split(last, " else ")
    return [
        f"{found['head']}{subject}",
        *(f"when {branch}" for branch in (*others, last)),
        *(f"else {each}" for each in otherwise),
        "end",
    ]


def without_needless_parentheses(term: str) -> str:
    """PostgreSQL puts them around every comparison; a person puts them around AND and OR."""
    if not term.startswith("(") or _outermost(term) != (0, len(term) - 1):
        return term
    inner = term[1:-1].strip()
    if len(_split(inner, " or ")) > 1 or len(_split(inner, " and ")) > 1:
        return term
    return inner


def _packed(terms: list[str], depth: int) -> Iterator[str]:
    """As many of a list's items on a line as fit."""
    pad = _INDENT * depth
    line = ""
    for number, term in enumerate(terms):
        word = term if number == len(terms) - 1 else f"{term},"
        if line and len(pad) + len(line) + 1 + len(word) > WIDTH:
            yield from _laid_out(line, depth)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield from _laid_out(line, depth)


def _split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` that is in no parentheses and in no string."""
    terms: list[str] = []
    begin = 0
    between = 0
    for position, depth in _depths(text):
        if depth:
            continue
        # BETWEEN a AND b is one term.
        if text.startswith("between ", position):
            between += 1
        if text.startswith(separator, position):
            if separator == " and " and between:
                between -= 1
                continue
            terms.append(text[begin:position])
            begin = position + len(separator)
    return [*terms, text[begin:]]


def _outermost(text: str) -> tuple[int, int] | None:
    """Where the longest pair of parentheses of the first level opens and closes."""
    pairs: list[tuple[int, int]] = []
    begin: int | None = None
    for position, depth in _depths(text):
        if depth == 1 and begin is None and text[position] == "(":
            begin = position
        if depth == 0 and begin is not None and text[position] == ")":
            pairs.append((begin, position))
            begin = None
    return max(pairs, key=lambda pair: pair[1] - pair[0], default=None)


def _depths(text: str) -> Iterator[tuple[int, int]]:
    """Each position outside of strings, with how deep in parentheses, or in CASE … END, it is: what
    opens counts as inside, what closes as outside."""
    depth = 0
    in_string = False
    for position, character in enumerate(text):
        if character == "'":
            in_string = not in_string
            continue
        if in_string:
            continue
        if character in "([" or _CASE.match(text, position):
            depth += 1
        elif character in ")]" or _END.match(text, position):
            depth -= 1
        yield position, depth
