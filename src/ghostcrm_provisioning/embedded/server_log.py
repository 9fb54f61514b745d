"""What the server said, turned into one of our errors.

PostgreSQL says why it does not start only in its log. Messages are matched in English: the server
is started with ``LC_ALL=C`` and initialised with ``--lc-messages=C``.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from ghostcrm_provisioning.embedded.loopback_port import port_in_use
from ghostcrm_provisioning.errors import (
    EmbeddedPostgresDiskFull,
    EmbeddedPostgresError,
    EmbeddedPostgresPermissionDenied,
    EmbeddedPostgresVersionMismatch,
)

_STARTUP = "startup.log"
_KEPT_DAYS = 7
_READ_AT_MOST_BYTES = 64 * 1024
_LINES_SHOWN = 5
_NOT_ENOUGH_TO_RUN_BYTES = 20 * 1024 * 1024  # a new WAL segment takes 16 MB

_DISK_FULL = re.compile("No space left on device|Disk quota exceeded", re.IGNORECASE)
_PORT = re.compile("Address already in use", re.IGNORECASE)
_DENIED = re.compile(
    "Permission denied|Operation not permitted|Read-only file system|has wrong ownership"
    "|has invalid permissions",
    re.IGNORECASE,
)
_VERSION = re.compile("database files are incompatible with server", re.IGNORECASE)
_TELLING = re.compile("FATAL|PANIC|ERROR|error:")
_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \S+ \[\d+\] ")


class ServerLog:
    """The folder with the server's log files, and how much of them was there before this start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What the server says before its own logging is up; written anew at every start.
        self.startup_file = folder / _STARTUP
        self._sizes: dict[Path, int] = {}

    def begin(self) -> None:
        """Note what is there already and forget old days. Only while no server runs."""
        oldest = time.time() - _KEPT_DAYS * 86_400
        self._sizes = {}
        for path in self.folder.glob("*.log"):
            facts = path.stat()
            if path == self.startup_file or facts.st_mtime < oldest:
                path.unlink()
            else:
                self._sizes[path] = facts.st_size

    def lines(self) -> list[str]:
        """What was written since :meth:`begin`, oldest first."""
        written: list[str] = []
        for path in sorted(self.folder.glob("*.log"), key=lambda path: path.stat().st_mtime):
            written += _text_after(path, self._sizes.get(path, 0)).splitlines()
        return written

    def explain(self, what: str, *, port: int | None = None) -> EmbeddedPostgresError:
        """The error for a server that did not start or does not answer; ``what`` says which."""
        return explain(what, self.lines(), where=self.folder, port=port)


def explain(
    what: str, lines: list[str], *, where: Path, port: int | None = None
) -> EmbeddedPostgresError:
    """The error that ``lines`` of a PostgreSQL program speak of; ``where`` is a folder it uses."""
    text = "\n".join(lines)
    said = _last_words(lines)
    details = {"log": str(where), "lastLines": "\n".join(lines[-_LINES_SHOWN:])}
    # A full disk may have kept the server from writing down that it is full.
    if _DISK_FULL.search(text) or lacks_space(where, _NOT_ENOUGH_TO_RUN_BYTES):
        return disk_full(where, said=said)
    if port is not None and _PORT.search(text):
        return port_in_use(port)
    if _DENIED.search(text):
        return EmbeddedPostgresPermissionDenied(f"{what}: {said}", **details)
    if _VERSION.search(text):
        return EmbeddedPostgresVersionMismatch(f"{what}: {said}", **details)
    return EmbeddedPostgresError(f"{what}: {said} (its log is in {where})", **details)


def lacks_space(folder: Path, needed_bytes: int) -> bool:
    """Whether the disk of ``folder`` says that it has less than ``needed_bytes`` left."""
    usage = shutil.disk_usage(folder)
    # Some file systems (ramfs) keep no account: a size of nothing means that nothing is known.
    return usage.total > 0 and usage.free < needed_bytes


def disk_full(folder: Path, *, said: str | None = None) -> EmbeddedPostgresDiskFull:
    """The error for a disk without enough space; ``folder`` lies on it and exists."""
    free_bytes = shutil.disk_usage(folder).free
    reason = f": {said}" if said else ""
    return EmbeddedPostgresDiskFull(
        f"There is not enough space for the embedded PostgreSQL on the disk of {folder} "
        f"({free_bytes // 1_000_000} MB are free){reason}",
        folder=str(folder),
        freeBytes=free_bytes,
    )


def _last_words(lines: list[str]) -> str:
    """The lines that tell the reason, without time and process number."""
    bare = [_PREFIX.sub("", line).strip() for line in lines if line.strip()]
    telling = next((number for number, line in enumerate(bare) if _TELLING.search(line)), None)
    if telling is None:
        return " ".join(bare[-2:]) or "it said nothing"
    # The line before the fatal one often holds the cause ("could not bind …: Address in use").
    return " ".join(bare[max(0, telling - 1) : telling + 1])


def _text_after(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = offset if offset <= size else 0  # truncated since: a week has passed
        file.seek(max(start, size - _READ_AT_MOST_BYTES))
        return file.read().decode("utf-8", errors="replace")
