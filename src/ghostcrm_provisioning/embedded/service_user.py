"""As whom the server runs. PostgreSQL refuses to run as root, so root needs somebody else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ghostcrm_provisioning.errors import EmbeddedPostgresError

if sys.platform != "win32":
    import pwd

DEDICATED_NAME = "ghostcrm-postgres"
_FALLBACK_NAMES = ("postgres", "nobody")
_USERADD_PATIENCE_SECONDS = 5.0
_USERADD_BUSY = 1  # "can't update password file": another useradd holds its lock


@dataclass(frozen=True)
class ServiceUser:
    """An unprivileged user of this machine, other than the one we are."""

    name: str
    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> ServiceUser | None:
        """The user of that name, when there is one."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    @classmethod
    def owning(cls, path: Path) -> ServiceUser:
        """The owner of ``path``, with a name when the machine knows one."""
        facts = path.stat()
        try:
            name = pwd.getpwuid(facts.st_uid).pw_name
        except KeyError:
            name = str(facts.st_uid)
        return cls(name, facts.st_uid, facts.st_gid)


@dataclass(frozen=True)
class Finished:
    """What a command came to."""

    exit_code: int
    output: str


def choose_service_user(data_directory: Path) -> ServiceUser | None:
    """As whom to run the server on ``data_directory``; None means as ourselves.

    Only root needs another user. Data that already belongs to somebody else stays theirs: a server
    that its owner started before must still be theirs to start after root has used it.
    """
    if os.geteuid() != 0:
        return None
    if data_directory.exists() and data_directory.stat().st_uid != 0:
        return ServiceUser.owning(data_directory)
    user = ServiceUser.named(DEDICATED_NAME) or _create_dedicated_user()
    if user:
        return user
    for name in _FALLBACK_NAMES:
        if (user := ServiceUser.named(name)) and user.uid != 0:
            return user
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and this machine has no other user for it.",
        next_step=f"Create one: useradd --system --user-group {DEDICATED_NAME}",
    )


def _create_dedicated_user() -> ServiceUser | None:
    """Make the dedicated user; None when this machine does not let us."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    command = [useradd, "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", DEDICATED_NAME]
    deadline = time.monotonic() + _USERADD_PATIENCE_SECONDS
    while True:
        finished = run_as(None, command, timeout_seconds=30)
        # Whoever made it, us or a process beside us, it is there now.
        if user := ServiceUser.named(DEDICATED_NAME):
            return user
        if finished.exit_code != _USERADD_BUSY or time.monotonic() > deadline:
            return None
        time.sleep(0.1)


def run_as(
    user: ServiceUser | None,
    command: Sequence[str | Path],
    *,
    timeout_seconds: float,
    keep_open: Sequence[int] = (),
) -> Finished:
    """Run ``command`` to its end as ``user`` (None: as ourselves), in an empty environment.

    It gets a session of its own, so that Ctrl-C in our terminal does not reach it, and is killed
    together with its children when ``timeout_seconds`` have passed. ``keep_open`` are file
    descriptors that it inherits.

    Raises EmbeddedPostgresError at the timeout, and OSError when it cannot be run at all.
    """
    with subprocess.Popen(
        [os.fspath(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        cwd="/",
        umask=0o077,
        start_new_session=True,
        pass_fds=keep_open,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            raise EmbeddedPostgresError(
                f"{Path(command[0]).name} did not finish within {timeout_seconds:.0f} seconds."
            ) from None
        finally:
            if process.poll() is None:  # a timeout, or Ctrl-C while we waited
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return Finished(process.returncode, output)
