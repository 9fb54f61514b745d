"""The rules as data: code, family, severity, meaning, what to do.

Those that ask the finished database stand with their question in ``rules/*.sql``; those that look at
statements, policies' expressions and seeds are listed in ``rules/statements.toml``. The page
``docs/reference/checks.md`` is written from both.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, LiteralString, cast, get_args

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

_SQL_FAMILIES = ("row_level_security", "grants", "functions_and_views", "indexes", "names")
_NAME = re.compile(r"^-- rule: ([a-z][a-z0-9_]*)$", re.MULTILINE)
_HEADER = re.compile(r"^-- (severity|meaning|fix): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Rule:
    """One thing that is looked for; ``question`` is its SQL, when it asks the finished database."""

    code: str
    family: str
    severity: Severity
    meaning: str
    fix: str
    question: LiteralString | None = None


def _read_rules() -> dict[str, Rule]:
    text = files(__package__).joinpath("rules/statements.toml").read_text(encoding="utf-8")
    rules = [
        Rule(code, family, said["severity"], said["meaning"], said["fix"])
        for family, codes in tomllib.loads(text).items()
        for code, said in codes.items()
    ]
    for family in _SQL_FAMILIES:
        text = files(__package__).joinpath(f"rules/{family}.sql").read_text(encoding="utf-8")
        parts = _NAME.split(text)[1:]
        for code, question in zip(parts[::2], parts[1::2], strict=True):
            said = dict(_HEADER.findall(question))
            severity = cast("Severity", said["severity"])
            # Trusted text, as in named_sql: it is part of the package.
            trusted = cast("LiteralString", question.strip())
            rules.append(Rule(code, family, severity, said["meaning"], said["fix"], trusted))
    if len({rule.code for rule in rules}) != len(rules):
        raise ValueError("two rules have the same code")
    return {rule.code: rule for rule in rules}


RULES = _read_rules()
