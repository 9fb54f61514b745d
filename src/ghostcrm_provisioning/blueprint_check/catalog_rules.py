"""Asks the catalog of the finished database every question in ``rules/*.sql``.

A question returns one row for each finding: ``catalog`` and ``id`` of the thing, its name as ``object``,
the ``sentence``; and where they say more than the rule does, ``severity``, ``fix``, a ``word`` by which
to find the line, and the ``grantee`` for whom to find the GRANT.
"""

from __future__ import annotations

from ghostcrm_provisioning.blueprint_check.finding import Finding
from ghostcrm_provisioning.blueprint_check.rules import RULES
from ghostcrm_provisioning.blueprint_check.watching import StatementWatcher
from ghostcrm_provisioning.client_database.install import Connection
from ghostcrm_provisioning.named_sql import NamedSql

_SCHEMAS = NamedSql(__package__, "schemas.sql")

# Not the blueprint's: PostgreSQL's own, ours, and those of a Supabase project.
FOREIGN_SCHEMAS = (
    "pg_catalog",
    "pg_toast",
    "information_schema",
    "ghostcrm_provisioning",
    "supabase_migrations",
    "auth",
    "extensions",
    "graphql",
    "graphql_public",
    "net",
    "pgbouncer",
    "pgmq",
    "pgsodium",
    "realtime",
    "_realtime",
    "storage",
    "supabase_functions",
    "vault",
)


async def look_at_catalog(connection: Connection, watcher: StatementWatcher) -> list[Finding]:
    """Every finding of every rule that asks the catalog."""
    rows = await (
        await connection.execute(
            _SCHEMAS["exposed_schemas"], {"foreign_schemas": list(FOREIGN_SCHEMAS)}
        )
    ).fetchall()
    parameters = {
        "foreign_schemas": list(FOREIGN_SCHEMAS),
        "exposed_schemas": [row["name"] for row in rows],
        "newest_of_platform": watcher.newest_of_platform,
    }
    findings = []
    for rule in RULES.values():
        if rule.question is None:
            continue
        for row in await (await connection.execute(rule.question, parameters)).fetchall():
            grantee = row.get("grantee")
            name = row["object"].partition("(")[0].rpartition(".")[2].strip('"')
            place = watcher.place_of(
                row["catalog"],
                row["id"],
                word=row.get("word") or (name if grantee else None),
                grantee=grantee,
            )
            findings.append(
                Finding(
                    rule.code,
                    row.get("severity") or rule.severity,
                    row["sentence"],
                    row.get("fix") or rule.fix,
                    place,
                    row["object"],
                )
            )
    return findings
