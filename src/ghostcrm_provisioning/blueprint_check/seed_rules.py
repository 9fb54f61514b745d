"""Seeds may run any number of times: applied again, they change nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from ghostcrm_provisioning.blueprint_check.finding import Finding
from ghostcrm_provisioning.blueprint_check.rules import RULES
from ghostcrm_provisioning.blueprint_check.watching import Sent, reason
from ghostcrm_provisioning.client_database.blueprint import Blueprint, Migration, Script
from ghostcrm_provisioning.client_database.install import (
    Connection,
    become_owner,
    run_as_owner,
)
from ghostcrm_provisioning.client_database.sql_statements import Statement
from ghostcrm_provisioning.errors import MigrationFailed
from ghostcrm_provisioning.named_sql import NamedSql

_SEEDS = NamedSql(__package__, "seeds.sql")

_Counts = dict[str, tuple[int, int, int]]


async def apply_seeds_again(connection: Connection, blueprint: Blueprint) -> list[Finding]:
    """Apply the seeds once more, and see what each statement did; nothing of it is kept."""
    async with connection.transaction(force_rollback=True):
        await become_owner(connection)
        counter = _RowCounter(await _count(connection))
        for seed in blueprint.seeds:
            try:
                await run_as_owner(connection, seed, counter)
            except MigrationFailed as failed:
                rule = RULES["seed_fails_again"]
                place = counter.sent.place if counter.sent else None
                counter.findings.append(
                    Finding(
                        rule.code,
                        rule.severity,
                        f"applied a second time, the seed fails: {reason(failed)}",
                        rule.fix,
                        place,
                        sqlstate=str(failed.details.get("sqlstate")),
                    )
                )
                break
    return counter.findings


async def _count(connection: Connection) -> _Counts:
    rows = await (await connection.execute(_SEEDS["rows_written"])).fetchall()
    return {row["name"]: (row["inserted"], row["updated"], row["deleted"]) for row in rows}


@dataclass
class _RowCounter:
    """Counts what each statement writes."""

    before: _Counts
    findings: list[Finding] = field(default_factory=list)
    sent: Sent | None = None

    async def migration_begins(self, connection: Connection, migration: Migration) -> None:
        """There are only seeds."""

    def statement_begins(self, script: Script, statement: Statement) -> None:
        self.sent = Sent(script, statement)

    async def statement_ended(self, connection: Connection) -> None:
        after = await _count(connection)
        written = {
            name: tuple(
                now - then
                for now, then in zip(counts, self.before.get(name, (0, 0, 0)), strict=True)
            )
            for name, counts in after.items()
        }
        self.before = after
        written = {name: counts for name, counts in written.items() if any(counts)}
        if not written or self.sent is None:
            return
        only_updates = not any(inserted or deleted for inserted, _, deleted in written.values())
        rule = RULES["seed_writes_over_rows" if only_updates else "seed_changes_rows"]
        what = ", ".join(
            f"{number} {how} {name}"
            for name, counts in sorted(written.items())
            for number, how in zip(counts, ("into", "changed in", "deleted from"), strict=True)
            if number
        )
        self.findings.append(
            Finding(
                rule.code,
                rule.severity,
                f"applied a second time, the seed writes rows: {what}",
                rule.fix,
                self.sent.place,
                ", ".join(sorted(written)),
            )
        )
