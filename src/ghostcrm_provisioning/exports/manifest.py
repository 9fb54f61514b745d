"""What an export says about itself: a small JSON file beside its dumps, written last.

An export is there when its manifest is; it is whole when every file is as the manifest says.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

_BLOCK = 1024 * 1024
FORMAT = 1


@dataclass(frozen=True)
class DumpFile:
    """One file of an export. ``holds`` says what is in it, in words."""

    name: str
    bytes: int
    sha256: str
    holds: str


@dataclass(frozen=True)
class Manifest:
    """All about one export.

    Attributes:
        tables: how many rows each table had in the snapshot that was dumped.
        server_version, pg_dump_version: as PostgreSQL names them.
    """

    client_id: UUID
    database_id: UUID
    taken_at: datetime
    blueprint: str
    blueprint_fingerprint: str | None
    plan: str
    server_version: str
    pg_dump_version: str
    files: tuple[DumpFile, ...]
    tables: dict[str, int]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.files)

    @property
    def rows(self) -> int:
        return sum(self.tables.values())

    def as_document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "clientId": str(self.client_id),
            "databaseId": str(self.database_id),
            "takenAt": self.taken_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "blueprint": self.blueprint,
            "blueprintFingerprint": self.blueprint_fingerprint,
            "plan": self.plan,
            "serverVersion": self.server_version,
            "pgDumpVersion": self.pg_dump_version,
            "files": [asdict(each) for each in self.files],
            "tables": self.tables,
        }


@dataclass(frozen=True)
class Export:
    """An export that was written: its manifest, and where that lies."""

    path: Path
    manifest: Manifest

    @property
    def seen(self) -> str:
        """In one sentence, for people."""
        manifest = self.manifest
        return (
            f"{len(manifest.tables)} tables with {manifest.rows:,} rows are in "
            f"{self.path.parent / manifest.files[0].name} ({manifest.bytes:,} bytes, "
            f"SHA-256 {manifest.files[0].sha256[:12]}…)"
        )


def look_at_files(path: Path, manifest: dict[str, Any]) -> str | None:
    """What is wrong with the files of a manifest at ``path``; None when all are there as it says."""
    if not path.is_file():
        return f"the manifest {path} is not there"
    for each in manifest["files"]:
        file = path.parent / each["name"]
        if not file.is_file():
            return f"the file {file} is not there"
        if (size := file.stat().st_size) != each["bytes"]:
            return f"the file {file} has {size:,} bytes instead of {each['bytes']:,}"
        if digest_of(file) != each["sha256"]:
            return f"the file {file} is not as it was written"
    return None


def digest_of(path: Path) -> str:
    """SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, text: str) -> None:
    """Readable by nobody else, and on the disk when this returns."""
    unfinished = path.with_name(f".{path.name}.partial")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    put_in_place(unfinished, path)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Give a file that is on the disk its name, durably."""
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def as_text(manifest: Manifest) -> str:
    return json.dumps(manifest.as_document(), indent=2, ensure_ascii=False) + "\n"
