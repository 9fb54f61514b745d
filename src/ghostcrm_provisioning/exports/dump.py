"""One export of a client database: what is dumped, in one snapshot, and seen to be whole.

Two dumps in PostgreSQL's custom format: the client's own schemas with the history of their migrations,
and the users with whom they sign in (which holds password hashes). The platform's own schemas are left
where they are: Supabase, or our baseline, makes them anew.

pg_dump works with the rights of whoever owns the data, never with an administrator's: what the client has
put into its database is met by these. The password goes by the environment: arguments are visible to
everybody on the machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.client_database.ground import PLATFORM_SCHEMAS, Ground
from ghostcrm_provisioning.client_database.roles import AUTH_ROLE
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    ExportFailed,
    ExportNotPossible,
    GhostcrmError,
    ServerUnreachable,
)
from ghostcrm_provisioning.exports.manifest import (
    DumpFile,
    Export,
    Manifest,
    as_text,
    digest_of,
    put_in_place,
    write_durably,
)
from ghostcrm_provisioning.exports.programs import DumpPrograms, find_programs
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.providers.provider import Connection

DUMP = NamedSql(__package__, "dump.sql")

_OURS_ON_PLAIN = ("auth", "extensions", "ghostcrm_provisioning")
_DATA = "the client's schemas and their rows, with the history of their migrations"
_USERS = "the users of Supabase Auth and their identities; it holds password hashes"
_LOCK_WAIT = "30s"
# What a killed worker has left is removed by the next one; what is being written is younger.
_LEFT_BEHIND_SECONDS = 24 * 3600.0
_ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
_NO_TLS = "SSL support is not compiled in"
_TABLE_DATA = re.compile(r"^\d+; \d+ \d+ TABLE DATA (?P<name>.+) (?P<owner>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """A database to be dumped.

    Attributes:
        connection: to it, with the login of ``url``; it holds the snapshot meanwhile.
        url: how pg_dump connects; holds the password.
        becomes_owner: the login is none of those that own the data, and may become them.
    """

    connection: Connection = field(repr=False)
    url: str = field(repr=False)
    ground: Ground
    becomes_owner: bool


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def pattern(self) -> str:
        """As pg_dump's --table takes exactly this one."""
        return f"{_pattern(self.schema)}.{_pattern(self.name)}"


def place_of_export(folder: Path, client: Client, at: datetime) -> Path:
    """Where an export goes when nobody says where: without its endings."""
    return folder / str(client.id) / f"{at.astimezone(UTC):%Y-%m-%dT%H-%M-%S.%f}Z"


async def export_database(
    source: Source, client: Client, place: Path, *, binaries: Path | None
) -> Export:
    """Dump a client's database into files beside each other: ``place`` with the endings ``.dump``,
    ``.users.dump`` and ``.json``. There is nothing under these names until all of it is whole.

    Args:
        binaries: the operator's folder with pg_dump and pg_restore; None for what is found.

    Raises:
        ExportNotPossible: no pg_dump can read that server, or not all rows would be read.
        ExportFailed, DatabaseBusy, ServerUnreachable: it did not come to its end.
    """
    _make_folder(place.parent)
    _remove_what_was_left(place.parent)
    connection = source.connection
    async with connection.transaction():
        await connection.execute(DUMP["begin_snapshot"])
        await connection.execute(DUMP["wait_as_long_as_it_takes"])
        row = await (await connection.execute(DUMP["export_snapshot"])).fetchone()
        if row is None:
            raise ExportFailed("The server gives no snapshot.")
        owner = source.ground.owner if source.becomes_owner else None
        keeper = AUTH_ROLE if source.becomes_owner else None
        # Of a project the login is its owner, who may have had it begin as somebody else.
        itself = source.ground.owner if source.ground.is_supabase else None
        async with _acting_as(connection, owner):
            schemas = await _schemas(connection, source.ground)
            tables, _ = await _tables(connection, "tables", {"schemas": schemas})
            counts = await _count(connection, tables)
        async with _acting_as(connection, keeper):
            users, needs_policies = await _tables(connection, "user_tables", {})
            user_counts = await _count(connection, users)
        programs = await find_programs(binaries, server_major=row["server_major"])
        of_snapshot = f"--snapshot={row['id']}"
        wanted = [
            _Wanted(
                place.with_name(f"{place.name}.dump"),
                _DATA,
                [of_snapshot, *(f"--schema={_pattern(each)}" for each in schemas)],
                owner or itself,
                tables,
            ),
            _Wanted(
                place.with_name(f"{place.name}.users.dump"),
                _USERS,
                [
                    of_snapshot,
                    "--data-only",
                    *(["--enable-row-security"] if needs_policies else []),
                    *(f"--table={each.pattern}" for each in users),
                ],
                keeper or itself,
                users,
            ),
        ]
        files, version = await _dump(wanted, source.url, programs)
    manifest = Manifest(
        client_id=client.id,
        database_id=client.database_id,
        taken_at=row["taken_at"].astimezone(UTC),
        blueprint=client.blueprint,
        blueprint_fingerprint=client.blueprint_fingerprint,
        plan=client.plan,
        server_version=row["server_version"],
        pg_dump_version=version,
        files=files,
        tables=counts | user_counts,
    )
    path = place.with_name(f"{place.name}.json")
    await asyncio.to_thread(write_durably, path, as_text(manifest))
    return Export(path, manifest)


# --- what there is --------------------------------------------------------------------------------


@asynccontextmanager
async def _acting_as(connection: Connection, role: str | None) -> AsyncIterator[None]:
    if role is None:
        yield
        return
    await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    yield
    await connection.execute("reset role")


async def _schemas(connection: Connection, ground: Ground) -> list[str]:
    platform = (
        [*PLATFORM_SCHEMAS, "ghostcrm_provisioning"] if ground.is_supabase else _OURS_ON_PLAIN
    )
    rows = await (
        await connection.execute(DUMP["schemas"], {"platform": list(platform)})
    ).fetchall()
    return [str(row["name"]) for row in rows]


async def _tables(
    connection: Connection, which: str, parameters: dict[str, Any]
) -> tuple[list[_Table], bool]:
    """The tables, and whether policies hold for whoever asks, and let everything through."""
    rows = await (await connection.execute(DUMP[which], parameters)).fetchall()
    for row in rows:
        if row["is_filtered"]:
            raise ExportNotPossible(
                f"Policies would keep rows of {row['schema']}.{row['name']} from the export.",
                next_step="Make its owner the one who owns the schema, or take FORCE ROW LEVEL SECURITY from it; "
                "or go on without an export (`--no-export`).",
                table=f"{row['schema']}.{row['name']}",
            )
    return [_Table(row["schema"], row["name"]) for row in rows], any(
        row.get("is_active", False) for row in rows
    )


async def _count(connection: Connection, tables: Sequence[_Table]) -> dict[str, int]:
    if not tables:
        return {}
    counting = sql.SQL(" union all ").join(
        sql.SQL(DUMP["count_rows"]).format(
            name=sql.Literal(each.qualified), table=sql.Identifier(each.schema, each.name)
        )
        for each in tables
    )
    rows = await (await connection.execute(counting)).fetchall()
    return {str(row["name"]): int(row["rows"]) for row in sorted(rows, key=lambda row: row["name"])}


def _pattern(name: str) -> str:
    """In quotes, so that nothing in it is a wildcard."""
    return '"{}"'.format(name.replace('"', '""'))


# --- pg_dump --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    path: Path
    holds: str
    arguments: list[str]
    role: str | None
    tables: list[_Table]


async def _dump(
    wanted: Sequence[_Wanted], url: str, programs: Sequence[DumpPrograms]
) -> tuple[tuple[DumpFile, ...], str]:
    """All of them, whole, under their names; and the version of the pg_dump that made them."""
    environment = _environment(url)
    written: list[tuple[_Wanted, Path]] = []
    try:
        chosen = iter(programs)
        program = next(chosen)
        for each in wanted:
            unfinished = each.path.with_name(f".{each.path.name}.{uuid4().hex[:8]}.partial")
            written.append((each, unfinished))
            while not await _run_pg_dump(program, each, unfinished, environment):
                following = next(chosen, None)
                if following is None:
                    raise ExportNotPossible(
                        "The server demands TLS, and no pg_dump on this machine that is new enough has it.",
                        next_step="Install PostgreSQL's client programs (on Debian: apt-get install "
                        "postgresql-client), or set GHOSTCRM_POSTGRES_BINARIES to a folder with them.",
                    )
                program = following
            await _see_contents(program, each, unfinished)
        files = []
        for each, unfinished in written:
            digest = await asyncio.to_thread(_make_durable, unfinished)
            files.append(DumpFile(each.path.name, unfinished.stat().st_size, digest, each.holds))
        for each, unfinished in written:
            put_in_place(unfinished, each.path)
    finally:
        for _, unfinished in written:
            unfinished.unlink(missing_ok=True)
    return tuple(files), program.version


async def _run_pg_dump(
    program: DumpPrograms, wanted: _Wanted, path: Path, environment: dict[str, str]
) -> bool:
    """False when this pg_dump has no TLS, and the server demands it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.close(descriptor)
    code, said = await _run(
        program.pg_dump,
        "--format=custom",
        f"--file={path}",
        "--no-password",
        f"--lock-wait-timeout={_LOCK_WAIT}",
        *([] if wanted.role is None else [f"--role={wanted.role}"]),
        *wanted.arguments,
        environment=environment,
    )
    if code == 0:
        return True
    if _NO_TLS in said:
        return False
    raise _error_of(said)


async def _see_contents(program: DumpPrograms, wanted: _Wanted, path: Path) -> None:
    """See, with pg_restore, that the file can be read and names every table."""
    code, said = await _run(program.pg_restore, "--list", str(path), environment={})
    if code != 0:
        raise ExportFailed(f"The dump cannot be read: {_last_line(said)}")
    listed = {match["name"].replace(" ", ".", 1) for match in _TABLE_DATA.finditer(said)}
    missing = sorted({each.qualified for each in wanted.tables} - listed)
    if missing:
        raise ExportFailed(
            f"The dump lacks the rows of {missing[0]}"
            + (f" and of {len(missing) - 1} more tables." if len(missing) > 1 else "."),
            tables=len(missing),
        )


async def _run(program: Path, *arguments: str, environment: dict[str, str]) -> tuple[int, str]:
    """Its exit code, and what it said. It ends with whoever waits for it."""
    process = await asyncio.create_subprocess_exec(
        str(program),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_surroundings() | environment,
    )
    try:
        out, said = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    text = out if process.returncode == 0 else said
    return process.returncode or 0, text.decode(errors="replace")


def _surroundings() -> dict[str, str]:
    """Of this process's environment, what a program needs to run: no settings of PostgreSQL's."""
    kept = ("PATH", "HOME", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}


def _environment(url: str) -> dict[str, str]:
    parts = conninfo_to_dict(url)
    return {
        variable: str(parts[part]) for part, variable in _ENVIRONMENT.items() if parts.get(part)
    } | {"PGAPPNAME": "ghostcrm export", "PGCONNECT_TIMEOUT": "10"}


def _error_of(said: str) -> GhostcrmError:
    """What pg_dump's last words mean. They hold no password: it knows that by the environment only."""
    last = _last_line(said)
    if "No space left on device" in said:
        return ExportNotPossible(
            f"There is no room for the export: {last}",
            next_step="Make room, or set GHOSTCRM_EXPORTS to a folder with more; then retry the client.",
        )
    if "lock timeout" in said:
        return DatabaseBusy(f"A table is locked, so the export waits for it in vain: {last}")
    if re.search(r"connection to server .* failed|could not connect|server closed", said):
        return ServerUnreachable(f"pg_dump does not reach the database: {last}")
    return ExportFailed(f"pg_dump failed: {last}")


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return (lines[-1] if lines else "it said nothing")[:500]


# --- files ----------------------------------------------------------------------------------------


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise ExportNotPossible(
            f"The folder {folder} cannot be made: {problem.strerror}.",
            next_step="Set GHOSTCRM_EXPORTS to a folder that can be written to.",
        ) from None


def _remove_what_was_left(folder: Path) -> None:
    for path in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _LEFT_BEHIND_SECONDS:
                path.unlink()


def _make_durable(path: Path) -> str:
    """On the disk when this returns; its SHA-256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return digest_of(path)
