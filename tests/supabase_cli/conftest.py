"""The official Supabase CLI, and clients that the product has provisioned for it to work on.

The CLI is an npm package that brings its binary. It is installed once into pytest's cache, so that
the next run needs no network. Without npm these tests are skipped; `.ci/run` installs it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server
from tests.prepared_control import PreparedControl
from tests.provisioned import ProvisionedClient, new_installation, provision

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

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "DO_NOT_TRACK": "1", "SUPABASE_TELEMETRY_DISABLED": "1"}

    def attempt(self, *arguments: str, url: str, folder: Path) -> Finished:
        """Run a command against the database at ``url``, in a project's folder."""
        finished = subprocess.run(
            [str(self.program), *arguments, f"--remote={url}", "--agent", "no"],
            cwd=folder,
            env={"PATH": os.environ["PATH"]} | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
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


@pytest.fixture(scope="session")
def new_client(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], ProvisionedClient]:
    """Provisions one more client."""
    environment = new_installation(server, prepared_control, tmp_path_factory.mktemp("clients"))
    return partial(provision, environment=environment)


@pytest.fixture(scope="session")
def client(new_client: Callable[[str], ProvisionedClient]) -> ProvisionedClient:
    """One to look at."""
    return new_client("ACME")


@pytest.fixture(scope="session")
def owner_url(client: ProvisionedClient) -> str:
    return client.url("owner")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for the CLI to work in."""
    (tmp_path / "supabase" / "migrations").mkdir(parents=True)
    return tmp_path
