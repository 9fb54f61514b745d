"""Every rule catches what breaks it, at its line and once, and lets what is mended pass.

The blueprints beside this file say what is expected of them: a comment ``-- ! code code`` at the end
of a line names the findings of that line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ghostcrm_provisioning.blueprint_check.finding import Finding
from ghostcrm_provisioning.blueprint_check.rules import RULES, SEVERITIES, Rule
from tests.blueprint_check.conftest import BLUEPRINTS, Check

_MARK = re.compile(r"-- ! (?P<codes>[a-z_ ]+)$")

# Rules that need a blueprint of their own, and where they are tried.
_ELSEWHERE = {
    "invalid_blueprint": "test_building.py",
    "statement_failed": "test_building.py",
    "transaction_control": "test_building.py",
    "identity_change": "test_building.py",
    "isolation_not_proven": "has no line",
    "access_matrix_differs": "test_access_matrix.py",
    "access_matrix_not_tried": "test_access_matrix.py",
}


def _marks(folder: Path) -> Iterator[tuple[str, int, str]]:
    for path in sorted(folder.rglob("*.sql")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if mark := _MARK.search(line):
                for code in mark["codes"].split():
                    yield path.relative_to(folder).as_posix(), number, code


def _placed(findings: tuple[Finding, ...]) -> list[tuple[str, int | None, str]]:
    return [(each.place.path, each.place.line, each.code) for each in findings if each.place]


async def test_everything_that_is_wrong_is_found_once_at_its_line(check: Check) -> None:
    report = await check(BLUEPRINTS / "everything_wrong")
    assert report.built
    found = Counter(_placed(report.findings))
    assert found == Counter(_marks(BLUEPRINTS / "everything_wrong"))
    assert [each.code for each in report.findings if not each.place] == ["isolation_not_proven"]
    assert not report.is_clean(strict=False)


async def test_nothing_is_found_where_it_is_mended(check: Check) -> None:
    report = await check(BLUEPRINTS / "mended")
    assert Counter(_placed(report.findings)) == Counter(_marks(BLUEPRINTS / "mended"))
    assert all(each.place for each in report.findings)
    assert report.is_clean(strict=True)
    assert "the seeds, applied a second time, change nothing" in report.observations
    assert any("isolation is proven" in seen for seen in report.observations)


async def test_the_shipped_blueprint_is_clean(check: Check) -> None:
    report = await check("ghostcrm")
    assert [(str(each.place), each.sentence) for each in report.findings] == []


def test_every_rule_is_tried() -> None:
    tried = {code for _, _, code in _marks(BLUEPRINTS / "everything_wrong")}
    assert tried | _ELSEWHERE.keys() == RULES.keys()
    assert not tried & _ELSEWHERE.keys()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_what_it_means_and_what_to_do(rule: Rule) -> None:
    assert rule.severity in SEVERITIES
    assert rule.meaning.endswith(".")
    assert rule.fix.endswith((".", ";"))
