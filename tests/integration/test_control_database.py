"""The control database: its upgrade, what guards it, and a server that is not prepared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.embedded import EmbeddedPostgres, RunningPostgres
from ghostcrm_provisioning.errors import (
    ConfigurationError,
    SealingKeyMissing,
    ServerNotPrepared,
)
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation
from tests.conftest import OpenInstallation
from tests.integration.control import are_ready, at_work, fetch, register, whole_contents
from tests.integration.processes import Processes
from tests.integration.waiting import eventually

Environment = Callable[..., dict[str, str]]


@pytest.mark.new_installation
async def test_eight_processes_that_upgrade_at_once_make_one_schema(
    environment: Environment, processes: Processes, control_url: str
) -> None:
    applied = await processes.at_once(8, environment(), "upgrade")
    with psycopg.connect(control_url, row_factory=dict_row) as connection:
        rows = connection.execute("select name from ghostcrm.schema_migrations").fetchall()
        assert sorted(name for each in applied for name in each) == sorted(
            row["name"] for row in rows
        ), "each migration was applied by one of them, once"
        assert connection.execute("select from ghostcrm_queue.jobs").fetchall() == []


@pytest.mark.new_installation
async def test_eight_processes_that_open_a_new_installation_at_once_agree_on_it(
    environment: Environment, processes: Processes, control_url: str
) -> None:
    documents = await processes.at_once(8, environment(), "open")
    assert len({document.get("installation") for document in documents}) == 1, documents
    with psycopg.connect(control_url) as connection:
        assert len(connection.execute("select from ghostcrm.installation").fetchall()) == 1
        assert len(connection.execute("select from ghostcrm.servers").fetchall()) == 1


async def _refused(settings_changed: Environment) -> ConfigurationError:
    settings_changed()
    with pytest.raises(ConfigurationError) as refused:
        async with open_installation(read_settings()):
            pass
    return refused.value


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(
    installation: Installation, environment: Environment
) -> None:
    await installation.control.execute("update schema_migrations set checksum = 'another'")
    before = await whole_contents(installation, housekeeping=True)
    refused = await _refused(environment)
    assert "001_initial.sql" in refused.message
    assert "changed" in refused.message
    assert await whole_contents(installation, housekeeping=True) == before


async def test_a_schema_of_a_newer_version_is_refused(
    installation: Installation, environment: Environment
) -> None:
    await installation.control.execute(
        "insert into schema_migrations (name, checksum) values ('999_from_the_future.sql', '')"
    )
    before = await whole_contents(installation, housekeeping=True)
    refused = await _refused(environment)
    assert "newer version" in refused.message
    assert "999_from_the_future.sql" in refused.message
    assert "Install the newer version" in refused.next_step
    assert await whole_contents(installation, housekeeping=True) == before


@pytest.mark.parametrize(
    "change",
    [
        "update audit_log set actor = 'somebody else'",
        "update audit_log set actor = actor where false",
        "delete from audit_log",
        "truncate audit_log",
    ],
)
async def test_the_audit_log_refuses_every_change(installation: Installation, change: str) -> None:
    await register(installation)
    before = await whole_contents(installation)
    assert before["ghostcrm.audit_log"]
    async with installation.control.connection() as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            await connection.execute(change.encode())
    assert await whole_contents(installation) == before


async def test_other_sealing_keys_are_noticed_before_anything_is_written(
    opened: OpenInstallation, environment: Environment, tmp_path: Path
) -> None:
    installation = await opened()
    await register(installation)
    before = await whole_contents(installation, housekeeping=True)
    environment(home=tmp_path / "another home")
    with pytest.raises(SealingKeyMissing) as refused:
        async with open_installation(read_settings()):
            pass
    assert "key" in refused.value.message
    assert await whole_contents(installation, housekeeping=True) == before


# --- a server that nobody has prepared ----------------------------------------------------------


@pytest.fixture
def bare_server(tmp_path: Path) -> Iterator[RunningPostgres]:
    """A server of its own, as initdb leaves it."""
    postgres = EmbeddedPostgres(tmp_path / "bare", settings={"fsync": "off"})
    yield postgres.start()
    postgres.stop()


def make_login(server: RunningPostgres, attributes: str) -> str:
    """A login with a database of its own; returns how it connects to that."""
    name, database = "ordinary login", f"control_{uuid4().hex[:8]}"
    with psycopg.connect(server.url(), autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("create role {} login password 'its own' {}").format(
                sql.Identifier(name), sql.SQL(attributes)
            )
        )
        superuser.execute(
            sql.SQL("create database {} owner {}").format(
                sql.Identifier(database), sql.Identifier(name)
            )
        )
    return connection_url(
        host=server.host, port=str(server.port), database=database, user=name, password="its own"
    )


@pytest.mark.parametrize("attributes", ["", "createdb", "createrole", "createdb createrole"])
@pytest.mark.new_installation
async def test_the_sql_that_an_unprepared_server_asks_for_makes_it_work(
    bare_server: RunningPostgres, environment: Environment, small_blueprint: Path, attributes: str
) -> None:
    url = make_login(bare_server, attributes)
    environment(database_url=url, blueprint=small_blueprint)
    with pytest.raises(ServerNotPrepared) as refused:
        async with open_installation(read_settings()):
            pass
    introduction, _, script = refused.value.next_step.partition("\n")
    assert "superuser" in introduction
    with psycopg.connect(bare_server.url(), autocommit=True) as superuser:
        superuser.execute(script.encode())
    async with open_installation(read_settings()) as installation:
        await register(installation)
        async with at_work(installation):
            await eventually(lambda: are_ready(installation, 1), what="a client is ready")


@pytest.mark.new_installation
async def test_a_server_half_prepared_asks_only_for_what_is_missing(
    bare_server: RunningPostgres, environment: Environment
) -> None:
    url = make_login(bare_server, "createdb createrole")
    environment(database_url=url)
    with psycopg.connect(bare_server.url(), autocommit=True) as superuser:
        superuser.execute("create role anon; create role service_role")
    with pytest.raises(ServerNotPrepared) as refused:
        async with open_installation(read_settings()):
            pass
    with psycopg.connect(bare_server.url(), autocommit=True) as superuser:
        superuser.execute(refused.value.next_step.partition("\n")[2].encode())
    async with open_installation(read_settings()) as installation:
        assert (await fetch(installation, "select count(*) as n from servers"))["n"] == 1


@pytest.mark.long
@pytest.mark.new_installation
async def test_a_superuser_prepares_the_server_by_itself_also_from_many_processes_at_once(
    bare_server: RunningPostgres, environment: Environment, processes: Processes
) -> None:
    with psycopg.connect(bare_server.url(), autocommit=True) as superuser:
        superuser.execute("create database control")
    documents = await processes.at_once(
        8, environment(database_url=bare_server.url("control")), "open"
    )
    assert len({document.get("installation") for document in documents}) == 1, documents
