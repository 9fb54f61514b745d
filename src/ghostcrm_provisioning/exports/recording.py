"""Exports in the control database: which there are of a client, and whether their files are still there."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.clients.lifecycle import LIFECYCLE
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.exports.manifest import Export, look_at_files
from ghostcrm_provisioning.observation import Observation


async def record_export(
    connection: Connection,
    export: Export,
    *,
    run_id: UUID | None,
    requested_by: str,
    reason: str | None,
) -> None:
    """Record an export, and who wanted it, in the audit log too."""
    manifest = export.manifest
    await connection.execute(
        LIFECYCLE["insert_export"],
        {
            "id": uuid4(),
            "client_id": manifest.client_id,
            "database_id": manifest.database_id,
            "run_id": run_id,
            "requested_by": requested_by,
            "reason": reason,
            "taken_at": manifest.taken_at,
            "host": socket.gethostname(),
            "manifest_path": str(export.path),
            "manifest": Jsonb(manifest.as_document()),
            "bytes": manifest.bytes,
        },
    )
    details: dict[str, Any] = {"manifest": str(export.path), "bytes": manifest.bytes}
    await record(
        connection,
        actor=requested_by,
        action="client.exported",
        client_id=manifest.client_id,
        details=details if reason is None else details | {"reason": reason},
    )


async def look_at_export(row: dict[str, Any]) -> Observation:
    """Whether a recorded export is there, whole, on this machine."""
    if row["host"] != socket.gethostname():
        return Observation(False, f"the export lies on another machine, {row['host']}")
    path, manifest = Path(row["manifest_path"]), row["manifest"]
    wrong = await asyncio.to_thread(look_at_files, path, manifest)
    if wrong is not None:
        return Observation(False, wrong)
    tables, first = manifest["tables"], manifest["files"][0]
    return Observation(
        True,
        f"{len(tables)} tables with {sum(tables.values()):,} rows are in {path.parent / first['name']} "
        f"({row['bytes']:,} bytes, SHA-256 {first['sha256'][:12]}…)",
    )
