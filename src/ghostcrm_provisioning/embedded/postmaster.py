"""The running server: proof that it is ours, its launch, logging in to it.

A process is touched only when the kernel says that it is the server of our data: it runs as the
owner of the data, and works in the data directory (every PostgreSQL process does). A pid in a file
proves nothing, it may belong to another program by now. A server is handed out only when it lets us
in with our password by SCRAM, in which the server also proves that it knows the password, and says
that it serves our data.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from ghostcrm_provisioning.embedded.binaries import Binaries
from ghostcrm_provisioning.embedded.loopback_port import LOOPBACK
from ghostcrm_provisioning.embedded.server_log import explain
from ghostcrm_provisioning.embedded.service_user import ServiceUser, run_as
from ghostcrm_provisioning.errors import EmbeddedPostgresError, EmbeddedPostgresPermissionDenied

SUPERUSER = "postgres"
POLL_SECONDS = 0.01

_LOGIN_TIMEOUT_SECONDS = 15  # a machine that has much else to do is no server that does not run
_ORPHANS_MAY_FINISH_SECONDS = 2.0
_ORPHANS_DEADLINE_SECONDS = 30.0

# The shell starts the server in the background and ends, so that the server is nobody's child and
# no zombie of ours. Paths are arguments, never part of the script. The log is opened in here, as
# the service user: in a folder of theirs, root must not follow what may be a link.
_LAUNCH = 'log=$1; shift; exec 3>&1 >"$log" 2>&1; "$@" </dev/null 3>&- & echo $! >&3'

# What a server that starts, recovers, stops or is about to end answers.
_PASSES = re.compile(
    "the database system is|terminating connection|server closed the connection"
    "|Connection refused|Connection reset|Broken pipe|timeout expired|could not receive data"
    "|could not send|no connection to the server"
)


@dataclass(frozen=True)
class Record:
    """What ``postmaster.pid`` says (PostgreSQL's ``src/include/utils/pidfile.h``)."""

    pid: int
    port: int | None
    state: str  # "starting", "stopping", "ready", "standby", or "" so far


class NotAnswering(Exception):
    """The server does not let anybody in yet, or any more."""


def read_record(data: Path) -> Record | None:
    """What the file says; None when there is none or it is not complete yet."""
    try:
        lines = (data / "postmaster.pid").read_text("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    try:
        pid = abs(int(lines[0]))  # negative: a single-user server
        port = int(lines[3]) if len(lines) > 3 and lines[3].strip() else None
    except (IndexError, ValueError):
        return None
    return Record(pid, port or None, lines[7].strip() if len(lines) > 7 else "")


def find_postmaster(data: Path) -> psutil.Process | None:
    """The living server of ``data``, when there provably is one."""
    record = read_record(data)
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
    except (psutil.NoSuchProcess, ValueError):
        return None
    return process if serves(process, data) else None


def serves(process: psutil.Process, data: Path) -> bool:
    """Whether ``process`` is alive, runs as the owner of ``data`` and works in that directory."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE or not process.is_running():
            return False
        if process.uids().real != data.stat().st_uid:
            return False
        try:
            return Path(str(process.cwd())).samefile(data)
        except psutil.AccessDenied:  # hidden by the system: its command line has to do
            return list(process.cmdline()[1:3]) == ["-D", str(data)]
    except (psutil.Error, OSError):
        return False


def launch(
    binaries: Binaries, data: Path, startup_log: Path, user: ServiceUser | None
) -> psutil.Process | None:
    """Start a server on ``data`` that outlives us; None when it has ended already.

    It has a session of its own and nothing of ours open. Whether it becomes ready is seen later.
    """
    command: list[str | Path] = [
        "/bin/sh",
        "-c",
        _LAUNCH,
        "sh",
        startup_log,
        binaries.postgres,
        "-D",
        data,
    ]
    finished = run_as(user, command, timeout_seconds=30)
    if finished.exit_code != 0:
        what = "The embedded PostgreSQL could not be started"
        raise explain(what, finished.output.splitlines(), where=data.parent)
    try:
        return psutil.Process(int(finished.output))
    except psutil.NoSuchProcess:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Whether ``process`` still runs (a zombie, waiting for a careless init, does not)."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def log_in(data: Path, port: int, password: str) -> str:
    """Log in, make sure that it is the server of ``data``, and return its version ("18.6").

    Raises NotAnswering for what passes, EmbeddedPostgresError for what will not.
    """
    try:
        with psycopg.connect(
            # Everything that the environment (PGHOSTADDR, PGSSLMODE, …) could change is said here.
            host=LOOPBACK,
            hostaddr=LOOPBACK,
            port=port,
            user=SUPERUSER,
            password=password,
            dbname=SUPERUSER,
            options="",
            sslmode="disable",
            gssencmode="disable",
            channel_binding="disable",  # would need TLS; SCRAM itself is required below
            target_session_attrs="any",
            require_auth="scram-sha-256",
            application_name="ghostcrm embedded",
            connect_timeout=_LOGIN_TIMEOUT_SECONDS,
            autocommit=True,
        ) as connection:
            row = connection.execute(
                "select current_setting('data_directory'), current_setting('server_version')"
            ).fetchone()
    except psycopg.Error as error:
        raise _refusal(str(error), data, port) from None
    assert row is not None
    directory, version = row
    try:
        same = Path(directory).samefile(data)
    except OSError:
        same = False
    if not same:
        raise EmbeddedPostgresError(
            f"The server on port {port} says that its data is in {directory}, not in {data}: the "
            f"folder was moved while it ran.",
            next_step="Stop it with `ghostcrm postgres stop`, and start again.",
            port=port,
        )
    return str(version).split()[0]


def _refusal(message: str, data: Path, port: int) -> Exception:
    if _PASSES.search(message):
        return NotAnswering(message)
    if "password authentication failed" in message:
        return EmbeddedPostgresError(
            f"The embedded PostgreSQL on port {port} does not accept the password in "
            f"{data.parent / 'password'}.",
            next_step="Bring that file back from a backup, or stop the server and set the password "
            "with `postgres --single`.",
            port=port,
        )
    if "too many clients" in message or "connection slots" in message:
        return EmbeddedPostgresError(
            f"The embedded PostgreSQL on port {port} has no connection left.",
            next_step="End some connections, or raise max_connections.",
            port=port,
        )
    return EmbeddedPostgresError(
        f"The embedded PostgreSQL on port {port} does not let us in: {' '.join(message.split())}",
        next_step=f"Look whether {data / 'pg_hba.conf'} was changed.",
        port=port,
    )


def ask_to_stop(process: psutil.Process) -> None:
    """Fast shutdown: sessions are ended, everything is written; what ``pg_ctl stop -m fast`` does.

    Needs no programs of PostgreSQL, so it works after the virtual environment was removed.
    Raises EmbeddedPostgresPermissionDenied when it is another user's server.
    """
    try:
        process.send_signal(signal.SIGINT)  # psutil makes sure that the pid is still the same one
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise EmbeddedPostgresPermissionDenied(
            f"The embedded PostgreSQL (process {process.pid}) runs as {process.username()}; this "
            f"user may not stop it.",
            next_step=f"Stop it as {process.username()} or as root.",
            pid=process.pid,
        ) from None


def clear_remains(data: Path) -> None:
    """Make way for a new server on ``data`` after the last one was killed.

    Its sessions may outlive it for a while (they notice at their next wait) and keep a new server
    from starting; they get some seconds, then are told to quit. A ``postmaster.pid`` whose pid is
    another program's by now is removed. Only to be called while no postmaster of ``data`` lives.
    """
    record = read_record(data)
    if record is None:
        return
    began = time.monotonic()
    told: set[int] = set()
    while orphans := [process for process in psutil.process_iter() if serves(process, data)]:
        waited = time.monotonic() - began
        if waited > _ORPHANS_DEADLINE_SECONDS:
            raise EmbeddedPostgresError(
                f"Sessions of a server that was killed do not end (process {orphans[0].pid}).",
                next_step=f"End process {orphans[0].pid}, and start again.",
                pid=orphans[0].pid,
            )
        for orphan in orphans:
            if waited > _ORPHANS_MAY_FINISH_SECONDS and orphan.pid not in told:
                told.add(orphan.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    orphan.send_signal(signal.SIGQUIT)  # immediate end, as the postmaster orders it
        time.sleep(POLL_SECONDS)
    if psutil.pid_exists(record.pid):
        (data / "postmaster.pid").unlink(missing_ok=True)
