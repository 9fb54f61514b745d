"""Writing the audit log: one line, in the transaction of what it tells of.

Where a request came from, and which one it was, follows the request's task (:data:`ORIGIN`), so that
what is deep below a route need not be told. Nothing secret may be in ``details`` or ``target``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.named_sql import NamedSql

AUDIT = NamedSql(__package__, "audit.sql")

Result = Literal["done", "refused", "failed"]


@dataclass(frozen=True)
class Origin:
    """Where a request came from, and which one it was."""

    address: str
    request_id: str


ORIGIN: ContextVar[Origin | None] = ContextVar("ghostcrm_origin", default=None)


async def record(
    connection: Connection,
    *,
    actor: str,
    action: str,
    client_id: UUID | None = None,
    target: str | None = None,
    result: Result | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add a line to the audit log.

    Args:
        actor: a principal's ``actor``, ``worker``, or the command line's user.
        action: a noun and what was done to it: ``client.retried``.
        target: what it was done to, as a person reads it; not needed beside ``client_id``.
    """
    origin = ORIGIN.get()
    await connection.execute(
        AUDIT["record"],
        {
            "actor": actor,
            "action": action,
            "client_id": client_id,
            "target": target,
            "result": result,
            "address": origin.address if origin else None,
            "request_id": origin.request_id if origin else None,
            "details": Jsonb(dict(details or {})),
        },
    )
