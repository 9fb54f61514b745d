"""The server that the control database is on: the embedded PostgreSQL, or the user's own.

It is also the first server for client databases. On the embedded one we are our own superuser, once:
to make the login ``ghostcrm_admin``, which may create databases and roles but is no superuser, and
to prepare the shared roles. Everything after that is done as ``ghostcrm_admin``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.roles import list_missing, prepare_server
from ghostcrm_provisioning.embedded.server import EmbeddedPostgres, RunningPostgres
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.settings import Settings

_ADMIN = "ghostcrm_admin"
_CONTROL_DATABASE = "ghostcrm_control"
_SETUP_LOCK = 0x67686F7376


@dataclass(frozen=True)
class HomeServer:
    """How to reach the control database, and what to call its server."""

    control_url: str = field(repr=False)
    name: str
    is_embedded: bool
    # Something that the person who started it should know.
    warning: str | None = None


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """The embedded PostgreSQL of this GHOSTCRM_HOME, running or not."""
    return EmbeddedPostgres(
        settings.home, port=settings.embedded_port, binaries=settings.postgres_binaries
    )


async def open_home_server(settings: Settings) -> HomeServer:
    """Make the server available; starts the embedded one when no other is configured.

    Raises:
        EmbeddedPostgresError: it cannot be started.
        ServerUnreachable: it does not answer.
    """
    if settings.database_url is not None:
        return HomeServer(settings.database_url.get_secret_value(), "home", is_embedded=False)
    running = await asyncio.to_thread(embedded_postgres(settings).start)
    control_url = connection_url(
        host=running.host,
        port=str(running.port),
        database=_CONTROL_DATABASE,
        user=_ADMIN,
        password=await asyncio.to_thread(_admin_password, settings.home / "postgresql"),
    )
    if not await _answers(control_url):
        with translating("the embedded PostgreSQL"):
            await _set_up(running, control_url)
    warning = moved(running)
    if warning is not None:
        get_logger("home_server").warning("embedded_postgres_moved", message=warning)
    return HomeServer(control_url, "embedded", is_embedded=True, warning=warning)


def moved(running: RunningPostgres) -> str | None:
    """What to tell when the server has another port than before."""
    if running.moved_from is None:
        return None
    return (
        f"Port {running.moved_from} of the embedded PostgreSQL is taken by another program; it now uses "
        f"{running.port}. URLs from before do not work any more: ask `ghostcrm clients connect` anew, "
        "and set GHOSTCRM_EMBEDDED_PORT to keep a port."
    )


async def _answers(control_url: str) -> bool:
    try:
        connection = await AsyncConnection.connect(
            control_url, connect_timeout=10, row_factory=dict_row
        )
    except psycopg.OperationalError:
        return False
    async with connection:
        return not await list_missing(connection)


async def _set_up(running: RunningPostgres, control_url: str) -> None:
    """Make our login, the control database and the shared roles; several processes take turns."""
    password = psycopg.conninfo.conninfo_to_dict(control_url)["password"]
    connection = await AsyncConnection.connect(
        running.url("postgres"), autocommit=True, row_factory=dict_row
    )
    async with connection:
        await connection.execute("select pg_advisory_lock(%s)", (_SETUP_LOCK,))
        admin, control = sql.Identifier(_ADMIN), sql.Identifier(_CONTROL_DATABASE)
        verifier = connection.pgconn.encrypt_password(
            str(password).encode(), _ADMIN.encode(), b"scram-sha-256"
        ).decode()
        exists = await _has(connection, "select 1 from pg_roles where rolname = %s", _ADMIN)
        await connection.execute(
            sql.SQL("{} role {} login createdb createrole password {}").format(
                sql.SQL("alter" if exists else "create"), admin, sql.Literal(verifier)
            )
        )
        await prepare_server(connection, admin=_ADMIN)
        if not await _has(
            connection, "select 1 from pg_database where datname = %s", _CONTROL_DATABASE
        ):
            await connection.execute(
                sql.SQL("create database {} owner {} template template0").format(control, admin)
            )
        # Client logins can enter their own database and no other.
        for database in (_CONTROL_DATABASE, "postgres", "template1"):
            await connection.execute(
                sql.SQL("revoke all on database {} from public").format(sql.Identifier(database))
            )


async def _has(connection: AsyncConnection[dict[str, object]], statement: str, name: str) -> bool:
    return await (await connection.execute(statement, (name,))).fetchone() is not None


def _admin_password(folder: Path) -> str:
    """Made once per GHOSTCRM_HOME; readable only by its owner."""
    path = folder / "admin-password"
    if not path.exists():
        draft = folder / f".admin-password.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
        try:
            os.link(draft, path)  # whoever comes first wins; the others read it
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
