"""Looks on while the blueprint is installed: which statement made what, and what each did to tables
that clients have already.

PostgreSQL itself is asked, after each statement and in its transaction, instead of a parser: a parser
would have to guess whether a change of type writes every row anew, whether a default differs from row
to row, and what a DO block executes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg.errors import Diagnostic

from ghostcrm_provisioning.blueprint_check.finding import Finding, Place
from ghostcrm_provisioning.blueprint_check.lock_rules import TablesBefore, look_at_tables
from ghostcrm_provisioning.blueprint_check.rules import RULES
from ghostcrm_provisioning.client_database.blueprint import Migration, Script
from ghostcrm_provisioning.client_database.install import Connection
from ghostcrm_provisioning.client_database.sql_statements import Statement
from ghostcrm_provisioning.errors import MigrationFailed
from ghostcrm_provisioning.named_sql import NamedSql

WATCHING = NamedSql(__package__, "watching.sql")

_NAME_TOO_LONG = "42622"
# duplicate_table, duplicate_object, duplicate_schema, duplicate_column, duplicate_function
_IS_THERE = frozenset({"42P07", "42710", "42P06", "42701", "42723"})
_LINES_AROUND = 2


@dataclass(frozen=True)
class Sent:
    """A statement, and the script in which it stands."""

    script: Script
    statement: Statement

    @property
    def place(self) -> Place:
        return Place(self.script.path, self.statement.line)

    @property
    def first_words(self) -> list[str]:
        return self.statement.text[:200].lower().split()

    def place_of(self, word: str | None) -> Place:
        """The line of the statement on which a word stands first; without it, its first line."""
        if word and (
            found := re.search(rf"(?i)(?<!\w){re.escape(word)}(?!\w)", self.statement.text)
        ):
            return Place(self.script.path, self.statement.line_at(found.start() + 1))
        return self.place


def excerpt(script: Script, line: int) -> str:
    """The lines around ``line``, numbered, the line itself marked."""
    lines = script.text.splitlines()
    first = max(0, line - 1 - _LINES_AROUND)
    return "\n".join(
        f"{'>' if number == line else ' '} {number:>4} | {text}"
        for number, text in enumerate(lines[first : line + _LINES_AROUND], first + 1)
    )


def reason(failed: MigrationFailed) -> str:
    """What PostgreSQL said, and where in a function's body it was."""
    refused = failed.__cause__
    if not isinstance(refused, psycopg.Error):
        return failed.message
    said = (refused.diag.message_primary or failed.message).strip()
    within = (refused.diag.context or "").splitlines()
    return f"{said} ({within[0]})" if within else said


class StatementWatcher:
    """Keeps what every statement made and did; see the module's text."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.current: Sent | None = None
        self.newest_of_platform = 0
        self._newest = 0
        self._made_by: dict[tuple[str, int], Sent] = {}
        self._grants: list[Sent] = []
        self._migrations = 0
        self._tables: TablesBefore | None = None

    async def begin(self, connection: Connection) -> None:
        """Remember what is there before the blueprint."""
        row = await (await connection.execute(WATCHING["newest_object"])).fetchone()
        self.newest_of_platform = self._newest = int(row["newest"]) if row else 0
        connection.add_notice_handler(self._notice)

    async def migration_begins(self, connection: Connection, migration: Migration) -> None:
        self._migrations += 1
        # The first migration only ever meets an empty database.
        self._tables = await look_at_tables(connection) if self._migrations > 1 else None

    def statement_begins(self, script: Script, statement: Statement) -> None:
        self.current = Sent(script, statement)

    async def statement_ended(self, connection: Connection) -> None:
        sent = self.current
        if sent is None:
            return
        rows = await (
            await connection.execute(WATCHING["newer_objects"], {"newest": self._newest})
        ).fetchall()
        for row in rows:
            self._made_by[row["catalog"], row["id"]] = sent
            self._newest = max(self._newest, row["id"])
        if sent.first_words[:1] == ["grant"] or sent.first_words[:2] == ["alter", "default"]:
            self._grants.append(sent)
        if self._tables is not None:
            done = await self._tables.look_again(connection)
            for code, sentence, subject, word in done.findings(sent.first_words):
                self._add(code, sentence, sent.place_of(word), subject)

    def migrations_ended(self) -> None:
        """What comes now are seeds."""
        self._tables = None

    def place_of(
        self, catalog: str, object_id: int, *, word: str | None = None, grantee: str | None = None
    ) -> Place | None:
        """Where a thing was made; with ``grantee``, where it was granted to them."""
        made = self._made_by.get((catalog, object_id))
        if grantee and (granted := self._grant_of(word, grantee, after=made)):
            return granted
        return made.place_of(word) if made else None

    def _grant_of(self, name: str | None, grantee: str, *, after: Sent | None) -> Place | None:
        for sent in reversed(self._grants):
            words = set(re.findall(r"\w+", sent.statement.text.lower()))
            names_it = (
                name is None or name.lower() in words or ("all" in words and "schema" in words)
            )
            if grantee in words and names_it:
                return sent.place_of(name)
            if sent is after:
                break
        return None

    def _notice(self, said: Diagnostic) -> None:
        sent, sentence = self.current, (said.message_primary or "").strip()
        if sent is None:
            return
        if said.sqlstate == _NAME_TOO_LONG:
            self._add("name_shortened", sentence, sent.place)
        elif (
            said.sqlstate in _IS_THERE
            and "skipping" in sentence
            # The platform brings some of these, where Supabase has them made.
            and sent.first_words[1:2] not in (["extension"], ["schema"])
        ):
            self._add("already_there", sentence.replace(", skipping", ""), sent.place)
        elif said.severity_nonlocalized == "WARNING":
            self._add("postgres_warned", f"PostgreSQL warns: {sentence}", sent.place)

    def _add(self, code: str, sentence: str, place: Place, subject: str | None = None) -> None:
        rule = RULES[code]
        finding = Finding(code, rule.severity, sentence, rule.fix, place, subject)
        if finding not in self.findings:
            self.findings.append(finding)
