"""Which pg_dump and pg_restore are used: the operator's, those that come with us, or what this machine has.

A pg_dump reads servers of its own major version and of older ones, never of a newer one.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ghostcrm_provisioning.embedded.binaries import find_wheel_programs
from ghostcrm_provisioning.errors import ExportNotPossible

_DISTRIBUTION = Path("/usr/lib/postgresql")  # Debian's and Ubuntu's
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)[^\s]*)")


@dataclass(frozen=True)
class DumpPrograms:
    """pg_dump and pg_restore of one folder."""

    folder: Path
    version: str
    major: int

    @property
    def pg_dump(self) -> Path:
        return self.folder / "pg_dump"

    @property
    def pg_restore(self) -> Path:
        return self.folder / "pg_restore"


async def find_programs(named: Path | None, *, server_major: int) -> list[DumpPrograms]:
    """Those that can dump a server of that version, the first choice first.

    Args:
        named: the operator's folder (GHOSTCRM_POSTGRES_BINARIES); then no others are used.

    Raises:
        ExportNotPossible: there are none, or they are all older than the server.
    """
    found: list[DumpPrograms] = []
    for folder in dict.fromkeys(_folders(named)):
        examined = await _examine(folder)
        if examined is not None:
            found.append(examined)
    able = [each for each in found if each.major >= server_major]
    if able:
        return able
    where = "in GHOSTCRM_POSTGRES_BINARIES" if named is not None else "on this machine"
    newest = max(found, key=lambda each: each.major, default=None)
    raise ExportNotPossible(
        f"There is no pg_dump {where}."
        if newest is None
        else f"The newest pg_dump {where} is {newest.version}, and the server is PostgreSQL "
        f"{server_major}: an older pg_dump cannot read a newer server.",
        next_step=f"Set GHOSTCRM_POSTGRES_BINARIES to a folder with pg_dump and pg_restore {server_major} or "
        "newer; or go on without an export (`--no-export`).",
        server=server_major,
        pg_dump=None if newest is None else newest.version,
    )


def _folders(named: Path | None) -> Iterator[Path]:
    if named is not None:
        yield from (named, named / "bin")
        return
    if (wheel := find_wheel_programs()) is not None:
        yield wheel
    if (on_path := shutil.which("pg_dump")) is not None:
        yield Path(on_path).parent
    yield from sorted(_DISTRIBUTION.glob("*/bin"), key=lambda path: path.parts[-2], reverse=True)


async def _examine(folder: Path) -> DumpPrograms | None:
    if not all((folder / name).is_file() for name in ("pg_dump", "pg_restore")):
        return None
    try:
        process = await asyncio.create_subprocess_exec(
            str(folder / "pg_dump"),
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await process.communicate()
    except OSError:
        return None
    match = _VERSION.search(said.decode(errors="replace"))
    return None if match is None else DumpPrograms(folder, match[1], int(match[2]))
