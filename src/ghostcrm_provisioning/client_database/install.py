"""Installs the platform baseline and a blueprint into a database, through a connection.

Converges: what is there is left alone, what is missing is added, one transaction per migration
together with its entry in the history. Where the connection leads is not known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from ghostcrm_provisioning.client_database.blueprint import Blueprint, Migration, Script
from ghostcrm_provisioning.client_database.ground import PLAIN, Ground
from ghostcrm_provisioning.client_database.sql_statements import Statement, split_statements
from ghostcrm_provisioning.errors import (
    DatabaseNotUsable,
    InvalidBlueprint,
    MigrationFailed,
    TransientFailure,
)
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.postgres_errors import translated

INSTALL = NamedSql(__package__, "install.sql")

Connection = AsyncConnection[DictRow]


@dataclass(frozen=True)
class Installed:
    """What a database says is installed in it."""

    database_id: UUID | None
    blueprint: str | None
    fingerprint: str | None
    versions: frozenset[str]


class Watcher(Protocol):
    """Looks on while a blueprint is installed and changes nothing: so `ghostcrm check` learns which
    statement did what."""

    async def migration_begins(self, connection: Connection, migration: Migration) -> None:
        """In the migration's transaction, with the owner's rights."""

    def statement_begins(self, script: Script, statement: Statement) -> None:
        """It is sent next."""

    async def statement_ended(self, connection: Connection) -> None:
        """It went well; its transaction is still open."""


async def observe_installation(connection: Connection) -> Installed | None:
    """What is installed, or None where nothing of ours is."""
    is_inside = connection.info.transaction_status is TransactionStatus.INTRANS
    try:
        # An error must not end the caller's transaction, where there is one.
        async with connection.transaction() if is_inside else nullcontext():
            row = await (await connection.execute(INSTALL["observe_installation"])).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    if row is None:
        return None
    return Installed(
        row["database_id"],
        row["blueprint"],
        row["blueprint_fingerprint"],
        frozenset(row["versions"]),
    )


async def refuse_history_of_others(connection: Connection, blueprint: Blueprint) -> None:
    """Where nothing of ours is installed, no migration can be in the history under one of our numbers: it
    would be taken for applied.

    Raises:
        DatabaseNotUsable: there is one.
    """
    row = await (await connection.execute(INSTALL["keeps_history"])).fetchone()
    if row is None or not row["holds"]:
        return
    rows = await (await connection.execute(INSTALL["applied_versions"])).fetchall()
    taken = {str(row["version"]) for row in rows} & {each.version for each in blueprint.migrations}
    if taken:
        raise DatabaseNotUsable(
            f"The history of migrations (supabase_migrations.schema_migrations) has a version {min(taken)} that "
            f"is not of the blueprint {blueprint.name}, which has one of that number.",
            next_step="Give a database of its own for this client; or give that migration another version with "
            "`supabase migration repair`.",
        )


async def stamp_database(connection: Connection, database_id: UUID) -> None:
    """Write into the database whose it is."""
    await connection.execute(INSTALL["stamp_database"], {"database_id": database_id})


@cache
def platform_fingerprint() -> str:
    """A hash of what we ourselves put into every client database, and of how its isolation is
    proven: a template of an older version of this program is not used by a newer one."""
    folder = files(__package__)
    entries = [folder / "stamp.sql"]
    for room in ("isolation", "platform_baseline"):
        entries += sorted(folder.joinpath(room).iterdir(), key=lambda entry: entry.name)
    digest = hashlib.sha256()
    for entry in entries:
        if entry.name.endswith(".sql"):
            digest.update(f"{entry.name}\0{entry.read_text(encoding='utf-8')}\0".encode())
    return digest.hexdigest()


async def install_platform(connection: Connection, *, ground: Ground = PLAIN) -> None:
    """On plain PostgreSQL, what every Supabase database has; on Supabase, as the project's owner, only
    what is ours: the schema ``private``, the history, our stamp, and that nothing new is open by
    default."""
    stamp = files(__package__).joinpath("stamp.sql").read_text(encoding="utf-8")
    if ground.is_supabase:
        async with connection.transaction():
            await become_owner(connection, ground)
            await _run_folder(connection, "supabase_supplement")
            await connection.execute(stamp)
            await connection.execute("reset role")
        return
    row = await (await connection.execute(INSTALL["has_platform"])).fetchone()
    async with connection.transaction():
        if row is None or not row["holds"]:
            await _run_folder(connection, "platform_baseline")
        await connection.execute(INSTALL["create_history"])
        await connection.execute(stamp)


async def install_blueprint(
    connection: Connection,
    blueprint: Blueprint,
    *,
    watcher: Watcher | None = None,
    ground: Ground = PLAIN,
) -> list[str]:
    """Apply the migrations that are missing, then the seeds; returns the versions applied now.

    Raises:
        MigrationFailed: naming file, line and SQLSTATE; the migration left nothing behind.
        DatabaseBusy, ServerUnreachable: it may work later.
    """
    if connection.info.server_version // 10000 < blueprint.minimum_postgres:
        raise InvalidBlueprint(
            f"The blueprint {blueprint.name} needs PostgreSQL {blueprint.minimum_postgres}; this "
            f"server is {connection.info.server_version // 10000}."
        )
    rows = await (await connection.execute(INSTALL["applied_versions"])).fetchall()
    applied = {row["version"] for row in rows}
    applied_now = []
    for migration in blueprint.migrations:
        if migration.version in applied:
            continue
        async with connection.transaction():
            await become_owner(connection, ground)
            if watcher is not None:
                await watcher.migration_begins(connection, migration)
            statements = await _run_all(connection, migration.scripts, watcher, ground)
            await connection.execute("reset role")
            await connection.execute(
                INSTALL["record_migration"],
                {"version": migration.version, "name": migration.name, "statements": statements},
            )
        applied_now.append(migration.version)
    async with connection.transaction():
        await become_owner(connection, ground)
        await _run_all(connection, blueprint.seeds, watcher, ground)
        await connection.execute("reset role")
        await connection.execute(
            INSTALL["stamp_blueprint"],
            {"blueprint": blueprint.name, "fingerprint": blueprint.fingerprint},
        )
    return applied_now


async def become_owner(connection: Connection, ground: Ground = PLAIN) -> None:
    """Until the end of the transaction: the owner's rights, and where Supabase looks for names."""
    await connection.execute("set local search_path = public, extensions")
    await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ground.owner)))


async def _run_all(
    connection: Connection, scripts: Sequence[Script], watcher: Watcher | None, ground: Ground
) -> list[str]:
    """Run a blueprint's scripts in the caller's transaction; returns the texts of their statements."""
    if watcher is None and scripts:
        texts = await _run_at_once(connection, scripts, ground)
        if texts is not None:
            return texts
    texts = []
    for script in scripts:
        texts += await run_as_owner(connection, script, watcher, ground=ground)
    return texts


async def _run_at_once(
    connection: Connection, scripts: Sequence[Script], ground: Ground
) -> list[str] | None:
    """The same without waiting for the answer to each statement: the server may be far away. None, and
    nothing was done, where something is wrong: one by one it comes out what, and where."""
    each = [split_statements(script.text) for script in scripts]
    every = [statement for statements in each for statement in statements]
    if any(one.controls_transaction or one.changes_identity for one in every):
        return None
    roles = []
    try:
        async with connection.transaction():
            async with connection.pipeline():
                for statements in each:
                    for statement in statements:
                        await connection.execute(statement.text, prepare=False)
                    roles.append(await connection.execute(INSTALL["who_am_i"], prepare=False))
            ended_as = {str((await role.fetchone() or {}).get("role")) for role in roles}
            if ended_as != {ground.owner}:
                raise psycopg.Rollback
    except psycopg.Error as error:
        if connection.closed:
            raise translated(error, where="the client database") from error
        return None
    return [statement.text for statement in every] if ended_as == {ground.owner} else None


async def run_as_owner(
    connection: Connection,
    script: Script,
    watcher: Watcher | None = None,
    *,
    ground: Ground = PLAIN,
) -> list[str]:
    """Run a blueprint's script, which may neither ask for another role's rights nor end with them:
    the connection may be our administrator's."""
    for statement in split_statements(script.text):
        if statement.changes_identity:
            raise MigrationFailed(
                f"{script.path}, line {statement.line}: a migration runs as the owner of the client's "
                "schema and cannot become anybody else.",
                file=script.path,
                line=statement.line,
                sqlstate="42501",
            )
    texts = await _run_script(connection, script, watcher)
    row = await (await connection.execute(INSTALL["who_am_i"])).fetchone()
    if row is None or row["role"] != ground.owner:
        raise MigrationFailed(
            f"{script.path}: it ended with the rights of another role than it began with.",
            file=script.path,
            sqlstate="42501",
        )
    return texts


async def _run_folder(connection: Connection, folder: str) -> None:
    """Run the scripts of one of our own folders, in the order of their names."""
    entries = files(__package__).joinpath(folder).iterdir()
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name.endswith(".sql"):
            text = entry.read_text(encoding="utf-8")
            await _run_script(connection, Script(f"{folder}/{entry.name}", text))


async def _run_script(
    connection: Connection, script: Script, watcher: Watcher | None = None
) -> list[str]:
    """Run a script's statements in the caller's transaction; returns their texts."""
    statements = split_statements(script.text)
    for statement in statements:
        if statement.controls_transaction:
            raise MigrationFailed(
                f"{script.path}, line {statement.line}: a migration runs in a transaction of its "
                f"own and cannot begin or end one.",
                file=script.path,
                line=statement.line,
                sqlstate="25001",
            )
        if watcher is not None:
            watcher.statement_begins(script, statement)
        try:
            await connection.execute(statement.text)
        except psycopg.Error as error:
            raise _failure(script, statement, error) from error
        if watcher is not None:
            await watcher.statement_ended(connection)
    return [statement.text for statement in statements]


def _failure(script: Script, statement: Statement, error: psycopg.Error) -> Exception:
    position = error.diag.statement_position
    line = statement.line_at(int(position)) if position else statement.line
    ours = translated(error, where="the client database")
    if isinstance(ours, TransientFailure):
        place = f"{script.path}, line {line}"
        return type(ours)(f"{place}: {ours.message}", next_step=ours.next_step, **ours.details)
    if ours.retryable or error.sqlstate is None:
        return ours
    said = (error.diag.message_primary or "").strip()
    return MigrationFailed(
        f"{script.path}, line {line}: {said} ({error.sqlstate})",
        file=script.path,
        line=line,
        sqlstate=error.sqlstate,
        hint=error.diag.message_hint,
    )
