"""Composes docs/reference/schema.md from what a client database says of itself, and from the access
matrix of its blueprint. What a table is for is said in the blueprint's comments, never here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from sql_layout import lay_out, simplified, with_short_types, without_needless_parentheses

from ghostcrm_provisioning.client_database.access_matrix import AccessMatrix, Call, TableGrid
from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.schema_description import (
    Column,
    Constraint,
    Function,
    Policy,
    SchemaDescription,
    Table,
)

# By the first two digits of the file that makes a table.
AREAS = {
    "01": "Roles and permissions",
    "02": "People and teams",
    "03": "Companies and contacts",
    "04": "Tags, custom fields and products",
    "05": "Sales",
    "06": "Activities and calendar",
    "07": "Email and campaigns",
    "08": "Billing",
    "09": "Documents",
    "10": "Automation",
    "11": "Settings and plan",
    "12": "Change history",
    "13": "Search",
}
_OTHER_AREA = "Further tables"
_MADE = re.compile(
    r"^create (?:or replace )?(?:unlogged )?(?:materialized )?(?:table|view)"
    r" (?:if not exists )?public\.(\w+)",
    re.MULTILINE | re.IGNORECASE,
)
# Nearly every table refers to them; a picture of all that would show nothing else.
_LEFT_OUT_OF_PICTURES = {"profiles", "teams"}
_LONGEST_IN_A_CELL = 44
_ON_DELETE = {
    "ON DELETE CASCADE": " (deleted with it)",
    "ON DELETE SET NULL": " (emptied when that is deleted)",
}
_WORDS = {"select": "read", "insert": "add", "update": "change", "delete": "delete"}

INTRODUCTION = """\
What is in the schema `public` of a client's database, as a new database says itself. People sign in as
`authenticated`, with one of the roles {roles}; what they may do to which rows is tried on every version of
the blueprint before a client gets it ([isolation](../decisions/0007-isolation-proven-on-the-template.md)).
`anon`, somebody who is signed in without a profile, and a colleague who was deactivated may do nothing.
`service_role`, for trusted jobs, is not bound by policies.

- *Null*: may be empty. *Set by people*: whether signed-in users may give it a value when they add or change
a row; the others are set by the database.
- *Who may do what*: a line for each role, a column for each kind of row as seen by the one who asks. A dash:
nothing. A point: the question does not arise.
- *Policies* are the conditions with which the database enforces it: `private.my_id()` is who is signed in,
`private.my_role()` their role, `private.my_team_ids()` their teams.
- Pictures leave out who owns a record (`profiles`, `teams`): nearly every table says so."""


def schema_page(schema: SchemaDescription, blueprint: Blueprint, *, note: str) -> str:
    """The whole page."""
    areas = _areas(schema, blueprint)
    roles = blueprint.access.roles if blueprint.access else ()
    lines = ["# The client database", "", note, ""]
    for paragraph in INTRODUCTION.format(roles=", ".join(roles)).split("\n\n"):
        for item in paragraph.split("\n- "):
            bullet = "" if "- *" not in paragraph else "- "
            lines += _filled(bullet + item.removeprefix("- "), indent=" " * len(bullet))
        lines += [""]
    lines += ["## Contents", ""]
    for area, tables in areas.items():
        named = ", ".join(f"[{table.name}](#{table.name})" for table in tables)
        lines += _filled(f"- [{area}](#{_anchor(area)}): {named}", indent="  ")
    if schema.functions:
        named = ", ".join(
            f"[{name}](#{name})" for name in sorted({each.name for each in schema.functions})
        )
        lines += _filled(f"- [Functions](#functions): {named}", indent="  ")
    area_of = {table.name: area for area, tables in areas.items() for table in tables}
    for area, tables in areas.items():
        lines += ["", f"## {area}", "", *_picture(tables, area_of)]
        for table in tables:
            lines += _table(table, blueprint.access)
    if schema.functions:
        lines += ["", "## Functions", "", "Those that signed-in users may execute."]
        for function in schema.functions:
            lines += _function(function, blueprint.access)
    return "\n".join(lines) + "\n"


def _areas(schema: SchemaDescription, blueprint: Blueprint) -> dict[str, list[Table]]:
    made_in: dict[str, str] = {}
    for migration in blueprint.migrations:
        for script in migration.scripts:
            for name in _MADE.findall(script.text):
                made_in.setdefault(name, script.path.rpartition("/")[2])
    found: dict[str, list[Table]] = {area: [] for area in (*AREAS.values(), _OTHER_AREA)}
    for table in sorted(schema.tables, key=lambda table: made_in.get(table.name, "~")):
        found[AREAS.get(made_in.get(table.name, "")[:2], _OTHER_AREA)].append(table)
    return {area: tables for area, tables in found.items() if tables}


# --- the picture of an area -----------------------------------------------------------------------


def _picture(tables: Iterable[Table], area_of: Mapping[str, str]) -> list[str]:
    relations: list[str] = []
    outside: set[str] = set()
    here = {table.name for table in tables}
    for table in tables:
        nullable = {column.name for column in table.columns if column.nullable}
        unique = {each.columns for each in table.constraints if each.kind in {"p", "u"}}
        for key in table.constraints:
            if key.kind != "f" or key.target is None:
                continue
            if key.target in _LEFT_OUT_OF_PICTURES - here:
                continue
            if key.target not in here:
                outside.add(key.target)
            one = "|o" if nullable & set(key.columns) else "||"
            many = "o|" if key.columns in unique else "o{"
            label = ", ".join(key.columns)
            relations.append(f'    {key.target} {one}--{many} {table.name} : "{label}"')
    if not relations:
        return []
    lines = ["```mermaid", "erDiagram", *sorted(set(relations)), "```"]
    if outside:
        elsewhere = ", ".join(f"[{name}](#{name})" for name in sorted(outside) if name in area_of)
        lines += ["", *_filled(f"Of other areas: {elsewhere}.")]
    return lines


# --- one table ------------------------------------------------------------------------------------


def _table(table: Table, access: AccessMatrix | None) -> list[str]:
    lines = ["", f"### {table.name}", ""]
    about = table.comment or ("A view." if table.is_view else "")
    lines += _filled(_text(about))
    grid = access.tables.get(table.name) if access else None
    refers = {key.columns[0]: key for key in table.constraints if _is_shown_elsewhere(key)}
    lines += [
        "",
        "| Column | Type | Null | Default | Set by people | Meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    below: list[str] = []
    for column in table.columns:
        default, long = _default(column)
        if long is not None:
            below.append(f"{column.name} = {long}")
        cells = (
            f"`{column.name}`",
            f"`{with_short_types(column.type)}`",
            "yes" if column.nullable else "",
            default,
            _set_by_people(column),
            _meaning(column, refers.get(column.name)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    if below:
        lines += ["", "Longer expressions:", "", *_sql(below)]
    if grid is not None:
        lines += _who_may(grid)
    if table.policies:
        lines += _policies(table.policies)
    rules = [_rule(each) for each in table.constraints if not _is_shown_elsewhere(each)]
    if rules:
        lines += ["", "**Rules**", "", *_sql(rules)]
    indexes = [
        ("unique " if index.is_unique else "")
        + simplified(index.definition.partition(" USING ")[2]).removeprefix("btree ")
        for index in table.indexes
    ]
    if indexes:
        lines += ["", "**Indexes**, besides those of the keys", "", *_sql(indexes)]
    return lines


def _default(column: Column) -> tuple[str, str | None]:
    """The cell, and the expression when it is too long for a cell."""
    if column.numbered:
        return "counted", None
    if column.expression is None:
        return "", None
    expression = simplified(column.expression)
    word = "computed" if column.computed else "see below"
    if len(expression) > _LONGEST_IN_A_CELL:
        return f"{word}, see below" if column.computed else word, expression
    shown = f"`{_cell(expression)}`"
    return f"computed: {shown}" if column.computed else shown, None


def _set_by_people(column: Column) -> str:
    words = [
        word
        for word, may in (("add", column.insertable), ("change", column.updatable))
        if may and not column.computed
    ]
    return ", ".join(words)


def _meaning(column: Column, key: Constraint | None) -> str:
    sentences = [_cell(_text(column.comment))] if column.comment else []
    if key is not None:
        then = next((word for action, word in _ON_DELETE.items() if action in key.definition), "")
        sentences.append(f"→ [{key.target}](#{key.target}){then}")
    return " ".join(sentences)


def _who_may(grid: TableGrid) -> list[str]:
    lines = ["", "**Who may do what**", ""]
    if grid.about:
        lines += [*_filled(_text(grid.about)), ""]
    rows = {
        role: [_answers(by_kind[kind]) for kind in grid.kinds]
        for role, by_kind in grid.cells.items()
    }
    return lines + _grid(grid.kinds, rows)


def _answers(answers: Mapping[str, bool | None]) -> str:
    if all(answer is None for answer in answers.values()):
        return "·"
    return ", ".join(_WORDS[each] for each, answer in answers.items() if answer) or "–"


def _grid(kinds: Iterable[str], rows: Mapping[str, list[str]]) -> list[str]:
    titles = [kind.replace("_", " ") for kind in kinds]
    lines = [f"| Role | {' | '.join(titles)} |", f"| --- |{' --- |' * len(titles)}"]
    return lines + [f"| {role} | {' | '.join(cells)} |" for role, cells in rows.items()]


def _policies(policies: Iterable[Policy]) -> list[str]:
    lines = ["", "**Policies**"]
    sentences_of: defaultdict[str, list[str]] = defaultdict(list)
    for policy in policies:
        for sentence, condition in _conditions(policy):
            shown = without_needless_parentheses(simplified(condition))
            sentences_of[shown].append(sentence)
    for condition, sentences in sentences_of.items():
        first, *others = sentences
        also = "".join(f"; {each[0].lower()}{each[1:]}" for each in others)
        lines += ["", f"{first}{also}:", "", *_sql([condition])]
    return lines


def _conditions(policy: Policy) -> Iterator[tuple[str, str]]:
    who = "" if policy.roles == ("authenticated",) else f" ({', '.join(policy.roles)})"
    verb = {"all": "Read, add, change and delete"}.get(
        policy.operation, _WORDS.get(policy.operation, policy.operation).capitalize()
    )
    if policy.condition is not None:
        yield f"{verb}{who}, rows for which", policy.condition
    if policy.check_condition is not None and policy.check_condition != policy.condition:
        words = "rows for which" if policy.operation == "insert" else "so that afterwards"
        yield f"{verb}{who}, {words}", policy.check_condition


def _is_shown_elsewhere(constraint: Constraint) -> bool:
    """With its column, that is."""
    return constraint.target is not None and len(constraint.columns) == 1


def _rule(constraint: Constraint) -> str:
    return f"{constraint.name}: {simplified(constraint.definition)}"


# --- functions ------------------------------------------------------------------------------------


def _function(function: Function, access: AccessMatrix | None) -> list[str]:
    lines = ["", f"### {function.name}", ""]
    signature = f"{function.name}({function.arguments}) returns {function.result}"
    lines += [*_sql([simplified(signature)]), ""]
    lines += _filled(_text(function.comment))
    written = f"{function.name}({function.argument_types})"
    calls = [
        (name, call)
        for name, call in (access.calls.items() if access else ())
        if call.function == written
    ]
    for name, call in calls:
        lines += ["", f"*{name.replace('_', ' ').capitalize()}*: {_text(call.about)}".rstrip(": ")]
        lines += ["", *_grid(call.kinds, _calls(call))]
    return lines


def _calls(call: Call) -> dict[str, list[str]]:
    words = {True: "yes", False: "–", None: "·"}
    return {
        role: [words[by_kind[kind]] for kind in call.kinds] for role, by_kind in call.cells.items()
    }


# --- words ----------------------------------------------------------------------------------------


def _sql(expressions: Iterable[str]) -> list[str]:
    return ["```sql", *(line for each in expressions for line in lay_out(each)), "```"]


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _text(comment: str) -> str:
    """A comment as Markdown: names of columns and the like keep their underscores and stars."""
    return re.sub(r"([*<\[\]])", r"\\\1", " ".join(comment.split()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _filled(text: str, *, indent: str = "", width: int = 105) -> list[str]:
    """Lines of at most that width; a link is never broken, since it has no space in it."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = f"{indent}{word}"
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines
