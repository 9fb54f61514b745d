"""The official Supabase CLI, and clients that the product has provisioned for it to work on.

The CLI is an npm package that brings its binary. It is installed once into pytest's cache, so that
the next run needs no network. Without npm these tests are skipped; `.ci/run` installs it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.roles import prepare_server
from tests.command import ghostcrm
from tests.conftest import ADMIN, Server

VERSION = "3.1.0"


@dataclass(frozen=True)
class Finished:
    """What a command of the CLI left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class SupabaseCli:
    """The installed CLI; ``home`` is where it may keep things."""

    program: Path
    home: Path

    def attempt(self, *arguments: str, url: str, folder: Path) -> Finished:
        """Run a command against the database at ``url``, in a project's folder."""
        finished = subprocess.run(
            [str(self.program), *arguments, f"--remote={url}", "--agent", "no"],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "DO_NOT_TRACK": "1",
                "SUPABASE_TELEMETRY_DISABLED": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Finished(finished.returncode, finished.stdout, finished.stderr)

    def run(self, *arguments: str, url: str, folder: Path) -> Finished:
        """The same, for a command that is to succeed."""
        finished = self.attempt(*arguments, url=url, folder=folder)
        assert finished.code == 0, f"{' '.join(arguments)}: {finished.stdout}{finished.stderr}"
        return finished

    def ask(self, *arguments: str, url: str, folder: Path) -> Any:
        """The JSON document of a command that is to succeed."""
        return self.run(*arguments, "--output-format", "json", url=url, folder=folder).document


@pytest.fixture(scope="session")
def supabase(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SupabaseCli:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm, which installs the Supabase CLI, is not there (apt-get install npm)")
    place = request.config.cache.mkdir(f"supabase-cli-{VERSION}")
    program = place / "node_modules" / ".bin" / "supabase"
    # The workers of pytest-xdist share the cache.
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            install = [npm, "install", "--prefix", str(place), "--no-save", "--ignore-scripts"]
            quiet = ["--no-audit", "--no-fund", "--loglevel", "error"]
            subprocess.run([*install, *quiet, f"supabase@{VERSION}"], cwd=place, check=True)
            (place / "complete").touch()
    return SupabaseCli(program, tmp_path_factory.mktemp("supabase-home"))


@dataclass(frozen=True)
class Client:
    """A client that the product has provisioned."""

    id: str
    database: str
    owner_url: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def new_client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Client]:
    """Provisions clients in one installation, as an operator does; the template is built once."""
    name = f"control_{uuid4().hex[:12]}"
    asyncio.run(_make_control_database(server, name))
    environment = os.environ | {
        "GHOSTCRM_HOME": str(tmp_path_factory.mktemp("home")),
        "GHOSTCRM_DATABASE_URL": server.admin_url(name),
    }

    def provision(company: str) -> Client:
        made = ghostcrm(
            "provision", company, "--admin-email", "admin@acme.com", "--json",
            environment=environment,
        )  # fmt: skip
        assert made.code == 0, made.stderr
        client_id = made.document["id"]
        shown = ghostcrm(
            "clients", "connect", client_id, "--role", "owner", "--format", "env",
            environment=environment,
        )  # fmt: skip
        assert shown.code == 0, shown.stderr
        name, _, url = shown.stdout.strip().partition("=")
        assert name == "DATABASE_URL"
        return Client(client_id, made.document["database"]["name"], url, environment)

    return provision


async def _make_control_database(server: Server, name: str) -> None:
    connection = await psycopg.AsyncConnection.connect(
        server.running.url(), autocommit=True, row_factory=dict_row
    )
    async with connection:
        await prepare_server(connection, admin=ADMIN)
        await connection.execute(
            sql.SQL("create database {} owner {}").format(
                sql.Identifier(name), sql.Identifier(ADMIN)
            )
        )


@pytest.fixture(scope="session")
def client(new_client: Callable[[str], Client]) -> Client:
    """One to look at."""
    return new_client("ACME")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for the CLI to work in, with a migration of the client's own."""
    migrations = tmp_path / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    return tmp_path
