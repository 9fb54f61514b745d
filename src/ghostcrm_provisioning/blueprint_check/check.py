"""Builds a blueprint in an empty database, as a template is built, and reports what it finds."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from ghostcrm_provisioning.blueprint_check.catalog_rules import look_at_catalog
from ghostcrm_provisioning.blueprint_check.finding import Finding, Place, Report
from ghostcrm_provisioning.blueprint_check.isolation_rules import look_at_isolation
from ghostcrm_provisioning.blueprint_check.policy_rules import look_at_policies
from ghostcrm_provisioning.blueprint_check.rules import RULES, SEVERITIES
from ghostcrm_provisioning.blueprint_check.seed_rules import apply_seeds_again
from ghostcrm_provisioning.blueprint_check.watching import (
    Sent,
    StatementWatcher,
    excerpt,
    reason,
)
from ghostcrm_provisioning.client_database.blueprint import Blueprint
from ghostcrm_provisioning.client_database.install import (
    Connection,
    install_blueprint,
    install_platform,
)
from ghostcrm_provisioning.client_database.sql_statements import split_statements
from ghostcrm_provisioning.errors import InvalidBlueprint, MigrationFailed

# What to do about PostgreSQL's most common refusals of a migration.
_ADVICE = {
    "25001": (
        "Each migration runs in one transaction, where this cannot stand. For an index: CREATE INDEX IF "
        "NOT EXISTS here, and CREATE INDEX CONCURRENTLY beforehand on clients whose table is large."
    ),
    "42501": (
        "Migrations run as the owner of the client's schema, who makes things in public, private and "
        "schemas of its own; auth, storage and the like belong to others."
    ),
    "42883": (
        "Name the schema where it is not public or extensions; nothing needs pgcrypto or uuid-ossp "
        "(gen_random_uuid() is there without them)."
    ),
    "58P01": (
        "The server does not have this extension; pgcrypto, uuid-ossp and ICU are not everywhere."
    ),
}


async def check_blueprint(connection: Connection, blueprint: Blueprint, folder: str) -> Report:
    """Everything that can be said about a blueprint.

    Args:
        connection: to an empty database that is thrown away afterwards, as its administrator.
        folder: where the blueprint lies, for the report.

    Raises:
        TransientFailure: the server, not the blueprint, is to blame.
    """
    findings = forbidden_statements(blueprint)
    watcher = StatementWatcher()
    observations: list[str] = []
    built = False
    if not findings:
        await install_platform(connection)
        await watcher.begin(connection)
        try:
            await install_blueprint(connection, blueprint, watcher=watcher)
        except MigrationFailed as failed:
            findings.append(_statement_failed(failed, watcher.current))
        except InvalidBlueprint as invalid:  # it needs a newer PostgreSQL
            findings.append(unreadable(invalid, folder))
        else:
            built = True
            findings += await _look_at_the_whole(
                connection, blueprint, Path(folder), watcher, observations
            )
    findings += watcher.findings
    return Report(folder, blueprint.name, built, sorted_findings(findings), tuple(observations))


async def _look_at_the_whole(
    connection: Connection,
    blueprint: Blueprint,
    folder: Path,
    watcher: StatementWatcher,
    observations: list[str],
) -> list[Finding]:
    observations.append(
        f"{_counted(len(blueprint.migrations), 'migration')} and "
        f"{_counted(len(blueprint.seeds), 'seed')} can be applied"
    )
    findings = await look_at_catalog(connection, watcher)
    findings += await look_at_policies(connection, watcher)
    from_seeds = await apply_seeds_again(connection, blueprint)
    if blueprint.seeds and not from_seeds:
        observations.append("the seeds, applied a second time, change nothing")
    findings += from_seeds
    from_proof, proven = await look_at_isolation(connection, blueprint, folder, watcher)
    if proven is not None:
        observations.append(proven)
    return findings + from_proof


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def forbidden_statements(blueprint: Blueprint) -> list[Finding]:
    """What is found by reading alone: all of it, where PostgreSQL would stop at the first."""
    findings = []
    scripts = [script for migration in blueprint.migrations for script in migration.scripts]
    for script in (*scripts, *blueprint.seeds):
        for statement in split_statements(script.text):
            words = " ".join(statement.text[:60].split())
            for code, applies in (
                ("transaction_control", statement.controls_transaction),
                ("identity_change", statement.changes_identity),
            ):
                if applies:
                    rule = RULES[code]
                    sentence = (
                        f"{words.split(';')[0]}: {rule.meaning[0].lower()}{rule.meaning[1:-1]}"
                    )
                    findings.append(
                        Finding(
                            code,
                            rule.severity,
                            sentence,
                            rule.fix,
                            Place(script.path, statement.line),
                            excerpt=excerpt(script, statement.line),
                        )
                    )
    return findings


def unreadable(invalid: InvalidBlueprint, folder: str) -> Finding:
    """The finding of a blueprint that cannot be read."""
    rule = RULES["invalid_blueprint"]
    path, line = invalid.details.get("file"), invalid.details.get("line")
    if path is None and (named := re.search(rf"{re.escape(folder)}/([\w./-]+\w)", invalid.message)):
        path = named[1]
        at_line = re.search(r"at line (\d+)", invalid.message)
        line = int(at_line[1]) if at_line else None
    place = Place(str(path), int(line) if line else None) if path else None
    return Finding(rule.code, rule.severity, invalid.message.rstrip("."), invalid.next_step, place)


def sorted_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """By file and line; what has no place comes last."""

    def order(finding: Finding) -> tuple[bool, str, int, int]:
        place = finding.place or Place("")
        return (
            finding.place is None,
            place.path,
            place.line or 0,
            SEVERITIES.index(finding.severity),
        )

    return tuple(sorted(findings, key=order))


def _statement_failed(failed: MigrationFailed, sent: Sent | None) -> Finding:
    rule = RULES["statement_failed"]
    refused = failed.__cause__
    hint = refused.diag.message_hint if isinstance(refused, psycopg.Error) else None
    sqlstate = str(failed.details.get("sqlstate"))
    line = failed.details.get("line") or (sent.statement.line if sent else None)
    place = Place(str(failed.details.get("file")), int(line) if line else None)
    return Finding(
        rule.code,
        rule.severity,
        reason(failed),
        hint or _ADVICE.get(sqlstate, rule.fix),
        place,
        sqlstate=sqlstate,
        excerpt=excerpt(sent.script, place.line) if sent and place.line else None,
    )
