"""What a run of the kind ``rotate_credentials`` was asked to do, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.errors import NotFound
from ghostcrm_provisioning.named_sql import NamedSql

ROTATIONS = NamedSql(__package__, "rotations.sql")
ROTATE = "rotate_credentials"


@dataclass(frozen=True)
class Rotation:
    """One exchange of what opens a client's database.

    Attributes:
        number: of the database; larger than that of any before.
        legacy_keys: the older keys of a project are switched off, too.
        end_sessions: those that are open under the old passwords are ended.
        passwords_set_at: the database was told the new passwords.
        replaced_at: the new ones were seen to open what they are for, and are the client's from then on.
        keys_left: names of keys that are somebody else's.
    """

    run_id: UUID
    client_id: UUID
    number: int
    passwords: bool
    keys: bool
    legacy_keys: bool
    end_sessions: bool
    reason: str | None
    requested_by: str
    requested_at: datetime
    passwords_set_at: datetime | None
    replaced_at: datetime | None
    retired_at: datetime | None
    keys_left: tuple[str, ...]

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        values = {field.name: row[field.name] for field in fields(cls)}
        return cls(**values | {"keys_left": tuple(row["keys_left"])})

    def as_document(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "passwords": self.passwords,
            "keys": self.keys,
            "legacyKeys": self.legacy_keys,
            "endSessions": self.end_sessions,
            "replaced": self.replaced_at is not None,
            "retired": self.retired_at is not None,
            "keysLeft": list(self.keys_left),
        }


async def find_rotation(connection: Connection, run_id: UUID) -> Rotation | None:
    """None when the run is about something else."""
    row = await (
        await connection.execute(ROTATIONS["find_rotation"], {"run_id": run_id})
    ).fetchone()
    return None if row is None else Rotation.from_row(row)


async def read_rotation(connection: Connection, run_id: UUID) -> Rotation:
    """Raises NotFound when the run is about something else."""
    rotation = await find_rotation(connection, run_id)
    if rotation is None:
        raise NotFound(f"The run {run_id} does not say what is to be exchanged.")
    return rotation
