"""The platform's own database: made, upgraded, and opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from ghostcrm_provisioning.control_database.database import (
    SCHEMA,
    ControlDatabase,
    connection_options,
)
from ghostcrm_provisioning.errors import ConfigurationError, SealingKeyMissing
from ghostcrm_provisioning.named_sql import NamedSql
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.supabase_platform.identity import Identity

RECORDS = NamedSql(__package__, "records.sql")

# Any fixed number does.
_UPGRADE_LOCK = 0x67686F7378
_SEALING_CHECK = "this platform"


@asynccontextmanager
async def open_records(home_url: str, identity: Identity) -> AsyncIterator[ControlDatabase]:
    """The platform's database on the home server, up to date.

    Raises:
        SealingKeyMissing: it belongs to this platform, but its sealing keys are gone.
        ServerUnreachable: the server does not answer.
    """
    with translating("the home server"):
        await _make_database(home_url, identity.database)
    url = make_conninfo("", **{**conninfo_to_dict(home_url), "dbname": identity.database})
    async with ControlDatabase(url) as records:
        async with records.connection() as connection:
            await _upgrade(connection)
        await _check_keys(records, identity)
        yield records


async def _make_database(home_url: str, name: str) -> None:
    connection = await AsyncConnection.connect(
        connection_options(home_url, application_name="ghostcrm platform"),
        autocommit=True,
        row_factory=dict_row,
    )
    async with connection:
        found = await connection.execute(RECORDS["find_database"], {"name": name})
        if await found.fetchone() is not None:
            return
        try:
            await connection.execute(
                sql.SQL("create database {} template template0").format(sql.Identifier(name))
            )
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another process of the same platform was faster
        await connection.execute(
            sql.SQL("revoke all on database {} from public").format(sql.Identifier(name))
        )


async def _upgrade(connection: AsyncConnection[dict[str, object]]) -> None:
    """Apply the migrations that are missing, each in a transaction together with its entry."""
    migrations = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(
            files(__package__).joinpath("sql").iterdir(), key=lambda entry: entry.name
        )
        if entry.name.endswith(".sql")
    }
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", (_UPGRADE_LOCK,))
        await connection.execute(
            sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA))
        )
        await connection.execute(RECORDS["create_history"])
        rows = await (await connection.execute(RECORDS["applied_migrations"])).fetchall()
        applied = {str(row["name"]) for row in rows}
        if applied - migrations.keys():
            raise ConfigurationError(
                "The platform's database was upgraded by a newer version of this program.",
                next_step="Install the newer version.",
            )
        for name, text in migrations.items():
            if name not in applied:
                await connection.execute(text)
                await connection.execute(RECORDS["record_migration"], {"name": name})


async def _check_keys(records: ControlDatabase, identity: Identity) -> None:
    sealed = identity.sealer.seal(_SEALING_CHECK, belongs_to="platform")
    row = await records.fetch_one(RECORDS["keep_sealing_check"], sealing_check=sealed)
    if row is None or (
        identity.sealer.open(bytes(row["sealing_check"]), belongs_to="platform") != _SEALING_CHECK
    ):
        raise SealingKeyMissing
