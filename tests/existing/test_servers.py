"""A database on a server that has never seen a client database: what each login can do there, and what it is
told. And Supabase's local stack, as far as its ports, login and roles go."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.roles import (
    SHARED_ROLES,
    prepare_given_server,
    prepare_server,
)
from ghostcrm_provisioning.embedded import EmbeddedPostgres, RunningPostgres
from ghostcrm_provisioning.errors import ServerNotPrepared
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.given_database import read_given_database
from ghostcrm_provisioning.providers.existing.examination import connect
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.supabase_platform.project_database import (
    PROJECT_DATABASE,
    _build_template,
)
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import binaries_of
from tests.existing.test_provisioning import register

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class FreshServer:
    """A server of somebody's."""

    running: RunningPostgres

    def login(self, attributes: str) -> str:
        name = f"somebody_{uuid4().hex[:8]}"
        self.run(f"create role {name} login {attributes} password 'secret'")
        return name

    def database(self, owner: str) -> str:
        name = f"theirs_{uuid4().hex[:8]}"
        self.run(f"create database {name} owner {owner} template template0")
        return name

    def url(self, login: str, database: str) -> str:
        return connection_url(
            host=self.running.host,
            port=str(self.running.port),
            database=database,
            user=login,
            password="secret",
        )

    def run(self, script: str, database: str = "postgres") -> list[dict[str, object]]:
        with psycopg.connect(
            self.running.url(database), autocommit=True, row_factory=dict_row
        ) as superuser:
            done = superuser.execute(script.encode())
            return done.fetchall() if done.description else []

    def roles(self) -> set[object]:
        names = [role.name for role in SHARED_ROLES if role.name != "postgres"]
        rows = self.run("select rolname::text, rolconfig::text from pg_roles")
        return {row["rolname"] for row in rows} & set(names)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FreshServer]:
    postgres = EmbeddedPostgres(
        tmp_path / "fresh",
        binaries=binaries_of(request.config.getoption("--postgres")),
        settings={"fsync": "off"},
    )
    try:
        yield FreshServer(postgres.start())
    finally:
        postgres.stop(timeout_seconds=120)


async def prepare(url: str) -> None:
    async with connect(read_given_database(url)) as connection:
        await prepare_given_server(connection)


async def test_a_superuser_has_the_server_prepared(
    installation: Installation, fresh: FreshServer
) -> None:
    login = fresh.login("superuser")
    done = await register(installation, fresh.url(login, fresh.database(login)))
    assert done.status == "ready", done.error
    assert len(fresh.roles()) == len(SHARED_ROLES) - 1
    assert done.connection is not None
    assert login not in done.connection.database_url


@pytest.mark.parametrize("attributes", ["createrole", ""])
async def test_who_is_no_superuser_is_told_the_sql_that_helps(
    installation: Installation, fresh: FreshServer, attributes: str
) -> None:
    login = fresh.login(attributes)
    database = fresh.database(login)
    done = await register(installation, fresh.url(login, database))
    assert done.status == "failed"
    assert done.error is not None
    assert done.error["code"] == "server_not_prepared"
    assert fresh.roles() == set(), "nothing was made"
    script = str(done.error["nextStep"]).partition("\n")[2]
    fresh.run("\n".join(line for line in script.splitlines() if line.endswith(";")))
    run = await installation.registrar.retry(done.client_id, requested_by="a test")
    run = await follow(installation, run.id, timeout_seconds=90)
    assert run.status == "succeeded", run.error


async def test_roles_that_somebody_has_already_are_not_changed(fresh: FreshServer) -> None:
    login = fresh.login("superuser")
    url = fresh.url(login, fresh.database(login))
    fresh.run("create role anon nologin; alter role anon set statement_timeout = '1h'")
    before = fresh.run("select * from pg_roles order by rolname")
    with pytest.raises(ServerNotPrepared) as refused:
        await prepare(url)
    assert 'create role "service_role"' in refused.value.next_step
    assert fresh.run("select * from pg_roles order by rolname") == before


# --- Supabase's local stack -----------------------------------------------------------------------


@pytest.fixture
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of its API; its database is one above. (Its `postgres` is no superuser there, and here is.)"""
    port = two_ports()
    postgres = EmbeddedPostgres(
        tmp_path / "stack",
        binaries=binaries_of(request.config.getoption("--postgres")),
        port=port + 1,
        settings={"fsync": "off"},
    )
    try:
        running = postgres.start()
        asyncio.run(make_supabase(running.url()))
        yield port
    finally:
        postgres.stop(timeout_seconds=120)


def two_ports() -> int:
    """A port that is free, as the next one is; of those that neither connections nor other tests take."""
    while True:
        port = random.randrange(3000, 4998)
        with suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port


async def make_supabase(url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    async with connection:
        await prepare_server(connection, admin="postgres")
        await _build_template(connection)
        await connection.execute(
            sql.SQL(PROJECT_DATABASE["let_owner_in"]).format(owner=sql.Identifier("postgres"))
        )
        await connection.execute("alter role postgres password 'postgres'")


async def test_the_local_stack_is_known_by_its_address(
    installation: Installation, stack: int
) -> None:
    done = await register(installation, f"http://localhost:{stack}")
    assert done.status == "ready", done.error
    assert done.connection is not None
    assert f":{stack + 1}/postgres" in done.connection.database_url
    assert "ghostcrm_app" in done.connection.database_url
    row = await installation.control.fetch_one(
        "select provider from servers where name = 'existing'"
    )
    assert row == {"provider": "existing"}


async def test_a_stack_that_does_not_run_may_run_later(installation: Installation) -> None:
    done = await register(installation, f"http://localhost:{two_ports()}", wait=0)
    assert done.status == "registered"
