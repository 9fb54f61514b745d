"""The proof of isolation that every template must pass, made on the scratch database.

The proof stops at the first thing that is wrong, since nobody is handed over then. Whoever writes a
blueprint wants to see all of it: where the proof fails, its attack is made once more and listed.
"""

from __future__ import annotations

from pathlib import Path

from ghostcrm_provisioning.blueprint_check.finding import Finding, Place
from ghostcrm_provisioning.blueprint_check.rules import RULES
from ghostcrm_provisioning.blueprint_check.watching import StatementWatcher
from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.install import Connection
from ghostcrm_provisioning.client_database.isolation.attack import attack, find_unlisted
from ghostcrm_provisioning.client_database.isolation.proof import prove_template
from ghostcrm_provisioning.client_database.isolation.verdict import Finding as Exposure
from ghostcrm_provisioning.errors import InvalidBlueprint, IsolationNotProven
from ghostcrm_provisioning.named_sql import NamedSql

_ISOLATION = NamedSql(__package__, "isolation.sql")
_MATRIX = "access/matrix.toml"
_ROWS = "access/rows.sql"


async def look_at_isolation(
    connection: Connection, blueprint: Blueprint, folder: Path, watcher: StatementWatcher
) -> tuple[list[Finding], str | None]:
    """The findings; and when there are none, what was proven, in words."""
    access = blueprint.access
    try:
        proof = await prove_template(connection, access)
    except IsolationNotProven as exposed:
        sentence = f"no client would be handed over: {exposed.message.rstrip('.')}"
        findings = [_finding("isolation_not_proven", sentence)]
    except InvalidBlueprint as invalid:
        return [_finding("access_matrix_not_tried", invalid.message, Place(_ROWS))], None
    else:
        listed = (
            f"; the access matrix lists all of them, {access.count_cells()} cells" if access else ""
        )
        return [], f"isolation is proven: {proof.seen}{listed}"
    unlisted = await find_unlisted(connection, access) if access is not None else []
    for exposure in unlisted:
        made = await _place_of(connection, watcher, exposure)
        place = made or _place_in_matrix(folder, exposure.subject)
        findings.append(
            _finding("access_matrix_differs", exposure.sentence, place, exposure.subject)
        )
    if any(exposure.code == "table_missing" for exposure in unlisted):
        return findings, None  # the matrix's rows cannot be made
    try:
        outcome = await attack(connection, access, together=True)
    except InvalidBlueprint as invalid:
        return [*findings, _finding("access_matrix_not_tried", invalid.message, Place(_ROWS))], None
    for exposure in outcome.findings:
        attacked = await _place_of(connection, watcher, exposure)
        findings.append(_finding("attack_succeeded", exposure.sentence, attacked, exposure.subject))
    return findings, None


async def _place_of(
    connection: Connection, watcher: StatementWatcher, exposure: Exposure
) -> Place | None:
    row = await (
        await connection.execute(_ISOLATION["find_subject"], {"name": exposure.subject})
    ).fetchone()
    return watcher.place_of(row["catalog"], row["id"]) if row else None


def _place_in_matrix(folder: Path, name: str | None) -> Place:
    """The first line of the matrix that names it."""
    lines = (folder / _MATRIX).read_text(encoding="utf-8").splitlines()
    named = (number for number, line in enumerate(lines, 1) if name and name in line)
    return Place(_MATRIX, next(named, None))


def _finding(
    code: str, sentence: str, place: Place | None = None, subject: str | None = None
) -> Finding:
    rule = RULES[code]
    said = sentence.rstrip(".")
    if said[:2] in {"A ", "Th"}:
        said = said[0].lower() + said[1:]
    return Finding(code, rule.severity, said, rule.fix, place, subject)
