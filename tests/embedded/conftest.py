"""Real servers for the tests of the embedded PostgreSQL; each is stopped, whatever happens."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ghostcrm_provisioning.embedded import EmbeddedPostgres, loopback_port
from ghostcrm_provisioning.embedded import binaries as programs

# Durability costs time and is PostgreSQL's promise, not ours to test; the rest is as shipped.
FAST = {"fsync": "off"}

START_IN_ANOTHER_PROCESS = """\
import argparse, os, pathlib, signal, sys
from ghostcrm_provisioning.embedded import EmbeddedPostgres
from ghostcrm_provisioning.errors import GhostcrmError
parser = argparse.ArgumentParser()
parser.add_argument("home", type=pathlib.Path)
parser.add_argument("--binaries", type=pathlib.Path)
parser.add_argument("--become", type=int)
parser.add_argument("--stay", action="store_true")
asked = parser.parse_args()
# As from a terminal: not ignored, as it is by whatever a shell runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
if asked.become:  # only now: that user may not be able to read this Python
    os.setgroups([])
    os.setgid(asked.become)
    os.setuid(asked.become)
try:
    running = EmbeddedPostgres(
        asked.home, binaries=asked.binaries, settings={"fsync": "off"}
    ).start()
except GhostcrmError as error:
    sys.exit(f"{error.code}: {error.message} | {error.next_step}")
print(running.pid, flush=True)
if asked.stay:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python notices one just before a read only after it
    sys.stdin.read()
"""


@pytest.fixture(autouse=True, scope="session")
def ports_of_our_own(worker_id: str) -> Iterator[None]:
    """Servers that this process starts take ports that nobody else takes: neither those of other test
    processes nor connections. So a port that is free stays free until it is used."""
    number = int(worker_id.removeprefix("gw")) if worker_id != "master" else 0
    with pytest.MonkeyPatch.context() as patch:
        first = 10000 + 600 * (number % 16)
        patch.setattr(loopback_port, "_CANDIDATES", range(first, first + 600))
        yield


def _make_and_stop() -> Iterator[Callable[..., EmbeddedPostgres]]:
    made: list[EmbeddedPostgres] = []

    def make(
        home: Path,
        *,
        port: int = 0,
        binaries: Path | None = None,
        settings: dict[str, str] | None = None,
    ) -> EmbeddedPostgres:
        postgres = EmbeddedPostgres(
            home, port=port, binaries=binaries, settings={**FAST, **(settings or {})}
        )
        made.append(postgres)
        return postgres

    with contextlib.ExitStack() as stack:
        # On the stack, one server that does not stop keeps no other from being stopped.
        yield make
        for postgres in made:
            stack.callback(postgres.stop, timeout_seconds=120)


@pytest.fixture
def make_postgres() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """For servers of one test."""
    yield from _make_and_stop()


@pytest.fixture(scope="module")
def shared_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One running server for the tests of a file that only look at it."""
    maker = _make_and_stop()
    postgres = next(maker)(tmp_path_factory.mktemp("shared") / "home")
    postgres.start()
    yield postgres
    next(maker, None)


@pytest.fixture
def starting_process() -> Callable[..., list[str]]:
    """The command line of another process that starts the server of a home and prints its pid."""

    def command(home: Path, *arguments: str) -> list[str]:
        return [sys.executable, "-c", START_IN_ANOTHER_PROCESS, str(home), *arguments]

    return command


@pytest.fixture
def copy_of_the_wheel() -> Callable[[Path], Path]:
    """Copies the wheel's installation below a folder, and returns where its programs are."""

    def copy(place: Path) -> Path:
        package = programs._wheel_folder().parent.parent
        for source in (package, package.parent / f"{package.name}.libs"):
            if source.exists():
                ignored = shutil.ignore_patterns("include", "*.a")
                shutil.copytree(source, place / source.name, ignore=ignored)
        return place / package.name / "pginstall" / "bin"

    return copy


@pytest.fixture
def root() -> None:
    """The test is about what root does."""
    if os.geteuid() != 0:
        pytest.skip("only root can do this")


@pytest.fixture
def unprivileged_user(root: None) -> int:
    """The uid of somebody else, who has never been let through anywhere."""
    return pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def open_folder(unprivileged_user: int) -> Iterator[Path]:
    """A folder of the unprivileged user, which pytest's own (private to root) is not."""
    folder = Path(tempfile.mkdtemp(prefix="ghostcrm-test-"))
    os.chown(folder, unprivileged_user, unprivileged_user)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def small_disk(root: None, tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Mounts a file system of its own: type and options as of mount(8)."""
    mounted: list[Path] = []

    def mount(kind: str, options: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", kind, "-o", options, kind, str(place)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            pytest.skip(f"cannot mount a file system here: {finished.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits, looking often, until something is so; fails after ninety seconds."""

    def wait(is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + 90
        while not is_so():
            assert time.monotonic() < deadline, "it did not come about in ninety seconds"
            time.sleep(0.005)

    return wait
