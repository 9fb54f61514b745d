"""One real PostgreSQL for the whole test run; a control database of its own for each test.

``--postgres wheel`` (the default) uses the binaries that come with us, ``--postgres debian`` the
newest of Debian's, ``--postgres /folder/with/initdb`` any other. The tests reach it as an ordinary
login that may create databases and roles and is no superuser, as the product does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.roles import list_missing, prepare_server
from ghostcrm_provisioning.embedded import EmbeddedPostgres, RunningPostgres
from ghostcrm_provisioning.providers.postgres_server import connection_url
from ghostcrm_provisioning.settings import Settings, read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation
from tests.prepared_control import (
    PreparedControl,
    create_database,
    open_for_the_first_time,
)

# The same examples in every run, so that a test which passed passes; none is refused because the machine
# was slow. Others are tried with `--hypothesis-profile exploring`.
_PATIENT: dict[str, Any] = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
hypothesis_settings.register_profile("exploring", **_PATIENT)
hypothesis_settings.register_profile("repeatable", derandomize=True, database=None, **_PATIENT)
hypothesis_settings.load_profile("repeatable")

_HOME_VARIABLE = "GHOSTCRM_TEST_POSTGRES_HOME"
_DEBIAN = Path("/usr/lib/postgresql")
ADMIN = "provisioner"
ADMIN_PASSWORD = "the provisioner's own"
_FOLDER = pytest.StashKey[str]()
pytest_plugins = ["tests.shared_platform"]
# The server is thrown away, so it need not survive a power cut. Autovacuum would go round through hundreds
# of small databases every minute, templates that are just to be copied among them. The rest is as shipped.
# All its statements are logged: a test looks for secrets among them.
_SERVER_SETTINGS = {
    "fsync": "off",
    "autovacuum": "off",
    "max_connections": "500",
    "log_statement": "all",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", default="wheel", help="wheel, debian, or a folder with initdb")


def binaries_of(choice: str) -> Path | None:
    """The folder to take the server's programs from; None for those that come with us."""
    if choice == "wheel":
        return None
    if choice != "debian":
        return Path(choice)
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        pytest.exit("Debian's postgresql is not installed", returncode=4)
    return versions[-1].parent


def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: twice as many as there are cores, since tests wait for processes, for seconds to
    pass, for a lease to end, as long as they compute."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Set before the workers of pytest-xdist start: they share the server.
        os.environ[_HOME_VARIABLE] = tempfile.mkdtemp(prefix="ghostcrm-tests-")
        if config.option.basetemp is None:
            # Not in the folder that all of this user's runs share: each that begins takes away the
            # right of others to pass it, which the servers in there need.
            config.option.basetemp = config.stash[_FOLDER] = tempfile.mkdtemp(
                prefix="ghostcrm-tmp-"
            )
    for variable in [name for name in os.environ if name.startswith("GHOSTCRM_")]:
        if variable not in {_HOME_VARIABLE, "GHOSTCRM_TEST_SQL_URL"}:
            del os.environ[variable]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """For the few tests that run alone, the files of all others need not be loaded."""
    if config.option.markexpr == "alone" and collection_path.suffix == ".py":
        return True if "pytest.mark.alone" not in collection_path.read_text() else None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, or one worker would go on with it alone at the end."""
    items.sort(key=lambda item: "supabase_runs" not in item.path.parts)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    folder = session.config.stash.get(_FOLDER, None)
    if folder is not None and exitstatus == pytest.ExitCode.OK:  # else somebody wants to look
        shutil.rmtree(folder, ignore_errors=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    home = Path(os.environ.pop(_HOME_VARIABLE))
    postgres = EmbeddedPostgres(home, binaries=binaries_of(config.getoption("--postgres")))
    if (home / "postgresql").exists():
        postgres.stop(timeout_seconds=600)
    shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True)
class Server:
    """The PostgreSQL of this test run."""

    running: RunningPostgres
    log_folder: Path

    def superuser(self, database: str = "postgres") -> psycopg.Connection[dict[str, object]]:
        return psycopg.connect(self.running.url(database), autocommit=True, row_factory=dict_row)

    def admin_url(self, database: str) -> str:
        return connection_url(
            host=self.running.host,
            port=str(self.running.port),
            database=database,
            user=ADMIN,
            password=ADMIN_PASSWORD,
        )


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The server, with our login and the shared roles."""
    home = Path(os.environ[_HOME_VARIABLE])
    running = EmbeddedPostgres(
        home,
        binaries=binaries_of(request.config.getoption("--postgres")),
        settings=_SERVER_SETTINGS,
    ).start()
    server = Server(running, home / "postgresql")
    with server.superuser() as connection:
        connection.execute("select pg_advisory_lock(1)")
        if not connection.execute("select from pg_roles where rolname = %s", (ADMIN,)).fetchall():
            connection.execute(
                sql.SQL("create role {} login createdb createrole password {}").format(
                    sql.Identifier(ADMIN), sql.Literal(ADMIN_PASSWORD)
                )
            )
        asyncio.run(_prepare_roles(server))
    return server


async def _prepare_roles(server: Server) -> None:
    checker = await psycopg.AsyncConnection.connect(
        server.admin_url("postgres"), autocommit=True, row_factory=dict_row
    )
    async with checker:
        if not await list_missing(checker):
            return
    superuser = await psycopg.AsyncConnection.connect(
        server.running.url(), autocommit=True, row_factory=dict_row
    )
    async with superuser:
        await prepare_server(superuser, admin=ADMIN)


@pytest.fixture(scope="session")
def prepared_control(server: Server, tmp_path_factory: pytest.TempPathFactory) -> PreparedControl:
    """What the control databases of this process's tests are copied from."""
    name = f"control_prepared_{uuid4().hex[:12]}"
    home = tmp_path_factory.mktemp("prepared")
    with server.superuser() as connection:
        create_database(connection, name, owner=ADMIN)
        template = open_for_the_first_time(connection, server.admin_url(name), home)
        # What is copied must have no sessions.
        connection.execute(
            sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name))
        )
    return PreparedControl(name, home / "keys", template)


@pytest.fixture
def empty_control_url(server: Server) -> str:
    """An empty database."""
    return _new_database(server, template="template1")


@pytest.fixture
def control_url(request: pytest.FixtureRequest, server: Server) -> str:
    """A control database of the test's own: a copy of the prepared one, or, for a test that is marked
    ``new_installation``, an empty one."""
    if _is_new(request):
        return str(request.getfixturevalue("empty_control_url"))
    prepared: PreparedControl = request.getfixturevalue("prepared_control")
    return _new_database(server, template=prepared.database)


def _new_database(server: Server, *, template: str) -> str:
    name = f"control_{uuid4().hex[:12]}"
    with server.superuser() as connection:
        create_database(connection, name, owner=ADMIN, template=template)
    return server.admin_url(name)


def _is_new(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("new_installation") is not None


@pytest.fixture
def environment(
    request: pytest.FixtureRequest,
    control_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict[str, str]]:
    """Sets the settings of an installation of its own, for this process and those it starts."""
    home = tmp_path / "home"
    if not _is_new(request):
        shutil.copytree(request.getfixturevalue("prepared_control").keys, home / "keys")

    def set_(**settings: object) -> dict[str, str]:
        variables = {
            "GHOSTCRM_HOME": str(home),
            "GHOSTCRM_DATABASE_URL": control_url,
            "GHOSTCRM_RETRY_FIRST_WAIT_SECONDS": "0.05",
        } | {f"GHOSTCRM_{name.upper()}": str(value) for name, value in settings.items()}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return {**os.environ, **variables}

    return set_


OpenInstallation = Callable[..., Awaitable[Installation]]


@pytest.fixture
async def opened(
    environment: Callable[..., dict[str, str]],
) -> AsyncIterator[OpenInstallation]:
    """Opens installations with the settings given; closes them after the test."""
    async with AsyncExitStack() as resources:

        async def open_(**settings: object) -> Installation:
            environment(**settings)
            return await resources.enter_async_context(open_installation(read_settings()))

        yield open_


@pytest.fixture
async def installation(opened: OpenInstallation) -> Installation:
    """An installation without clients."""
    return await opened()


@pytest.fixture
def settings(environment: Callable[..., dict[str, str]]) -> Settings:
    """The settings of an installation that is not open yet."""
    environment()
    return read_settings()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the counts that tests have recorded as ``summary``: how much was tried, and what came of it."""
    lines = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "summary"
    ]
    if lines:
        terminalreporter.section("counted")
        for line in sorted(lines):
            terminalreporter.write_line(line)
