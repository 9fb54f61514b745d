"""The folder ``postgresql`` of a home: its layout, its password, and initdb."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from ghostcrm_provisioning.embedded.binaries import Binaries, plainly_placed
from ghostcrm_provisioning.embedded.configuration import (
    FILE_NAME,
    HOST_BASED_AUTHENTICATION,
    INCLUDE_LINE,
)
from ghostcrm_provisioning.embedded.postmaster import SUPERUSER
from ghostcrm_provisioning.embedded.search_permission import let_through
from ghostcrm_provisioning.embedded.server_log import disk_full, explain, lacks_space
from ghostcrm_provisioning.embedded.service_user import Finished, ServiceUser, run_as
from ghostcrm_provisioning.errors import EmbeddedPostgresError, EmbeddedPostgresVersionMismatch

_NEEDED_BYTES = 200_000_000  # a new cluster has 40 MB; this leaves room for the first databases
_INITDB_TIMEOUT_SECONDS = 300.0
_BUILTIN_LOCALES_SINCE = 17


class Cluster:
    """Where everything lies, and the steps that make it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "postgresql"
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.lock = self.folder / "lock"
        self._password_file = self.folder / "password"
        self._port_file = self.folder / "port"

    # --- what is remembered ---------------------------------------------------------------------

    def password(self) -> str | None:
        """The superuser's password; None before the first start."""
        try:
            return self._password_file.read_text("utf-8").strip() or None
        except FileNotFoundError:
            return None

    def remembered_port(self) -> int | None:
        """The port of the last start."""
        try:
            return int(self._port_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def remember_port(self, port: int) -> None:
        """Keep ``port`` for the next start."""
        write_atomically(self._port_file, f"{port}\n")

    # --- steps of a start, each convergent ------------------------------------------------------

    def make_folder(self) -> None:
        """The folders that hold everything else; those of the service user are made later."""
        if not self.home.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            self._let_service_users_through(self.home)
        if not self.folder.exists():
            self.folder.mkdir(exist_ok=True, mode=0o700)
            self._let_service_users_through(self.folder)

    @staticmethod
    def _let_service_users_through(folder: Path) -> None:
        # Root's server is another user's process. What lies in this folder is closed by itself.
        if os.geteuid() == 0:
            folder.chmod(0o711)

    def prepare_for(self, user: ServiceUser | None) -> None:
        """Let the server's user in, and give it its log folder and its data."""
        if user is not None:
            let_through(user, self.data)
        if not self.log.exists():
            self.log.mkdir(mode=0o700)
        for owned in (self.log, self.data):
            if user is not None and owned.exists() and owned.stat().st_uid != user.uid:
                _hand_over(owned, user)

    def initialise(
        self, binaries: Binaries, user: ServiceUser | None, *, lock: int, durable: bool
    ) -> None:
        """Make the data directory when there is none; a half-made one is thrown away first.

        ``lock`` is inherited by initdb: should we be killed, nobody else begins until it has ended.
        Raises EmbeddedPostgresVersionMismatch for data of another major version.
        """
        if self.data.exists():
            self._check_major(binaries)
            return
        if lacks_space(self.folder, _NEEDED_BYTES):
            raise disk_full(self.folder)
        unfinished = self.folder / "data.initializing"
        password_copy = self.folder / "password.initializing"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if user is not None:
            os.chown(unfinished, user.uid, user.gid)
        try:
            write_atomically(password_copy, self._ensured_password(), user)
            finished = self._run_initdb(
                binaries, user, unfinished, password_copy, lock=lock, durable=durable
            )
        finally:
            password_copy.unlink(missing_ok=True)
        if finished.exit_code != 0:
            lines = finished.output.splitlines()
            shutil.rmtree(unfinished, ignore_errors=True)
            raise explain(
                "The data of the embedded PostgreSQL could not be made", lines, where=self.folder
            )
        configuration = unfinished / "postgresql.conf"
        text = configuration.read_text("utf-8") + INCLUDE_LINE
        write_atomically(configuration, text, user)
        write_atomically(unfinished / "pg_hba.conf", HOST_BASED_AUTHENTICATION, user)
        unfinished.rename(self.data)
        sync_folder(self.folder)

    def write_configuration(self, text: str, user: ServiceUser | None) -> None:
        """What the next server is told."""
        write_atomically(self.data / FILE_NAME, text, user)

    def _check_major(self, binaries: Binaries) -> None:
        try:
            written_by = (self.data / "PG_VERSION").read_text("utf-8").strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"The folder {self.data} exists but holds no data of PostgreSQL.",
                next_step="Look what is in it; move it away, and start again.",
                folder=str(self.data),
            ) from None
        if written_by != str(binaries.major):
            raise EmbeddedPostgresVersionMismatch(
                f"The data in {self.data} was written by PostgreSQL {written_by}; the programs in "
                f"{binaries.folder} are PostgreSQL {binaries.version}.",
                next_step=f"Set GHOSTCRM_POSTGRES_BINARIES to the programs of PostgreSQL "
                f"{written_by}, or upgrade the data with pg_upgrade.",
                dataVersion=written_by,
                binariesVersion=binaries.version,
            )

    def _ensured_password(self) -> str:
        password = self.password()
        if password is None:
            password = secrets.token_urlsafe(32)
            write_atomically(self._password_file, password)
        return password

    @staticmethod
    def _run_initdb(
        given: Binaries,
        user: ServiceUser | None,
        target: Path,
        password_file: Path,
        *,
        lock: int,
        durable: bool,
    ) -> Finished:
        with plainly_placed(given) as binaries:
            command: list[str | Path] = [binaries.initdb, "--pgdata", target]
            command += ["--username", SUPERUSER, "--pwfile", password_file]
            command += ["--auth=scram-sha-256", "--data-checksums", "--no-instructions"]
            command += ["--encoding=UTF8", "--locale=C", "--lc-messages=C"]
            if not durable:
                command.append("--no-sync")
            if binaries.major >= _BUILTIN_LOCALES_SINCE:
                # Sorts by code point, as C does, but knows the letters of every alphabet; part of
                # PostgreSQL, so an upgrade of the operating system cannot change an index.
                choices = [["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]]
            else:
                choices = [["--lc-ctype=C.UTF-8"], []]  # not every system has the first
            for choice in choices:
                finished = run_as(
                    user,
                    [*command, *choice],
                    timeout_seconds=_INITDB_TIMEOUT_SECONDS,
                    keep_open=[lock],
                )
                if "invalid locale name" not in finished.output:
                    break
        return finished


def write_atomically(path: Path, text: str, user: ServiceUser | None = None) -> None:
    """Write ``path`` as a file that only its owner may read, whole or not at all."""
    # mkstemp creates a new file under a name nobody can foresee: safe in another user's folder.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if user is not None:
                os.fchown(file.fileno(), user.uid, user.gid)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hand_over(path: Path, user: ServiceUser) -> None:
    """Give ``path`` and everything in it to ``user``, without following links."""
    os.chown(path, user.uid, user.gid, follow_symlinks=False)
    if stat.S_ISDIR(path.lstat().st_mode):
        for folder, names, files in os.walk(path):
            for name in (*names, *files):
                os.chown(Path(folder) / name, user.uid, user.gid, follow_symlinks=False)
