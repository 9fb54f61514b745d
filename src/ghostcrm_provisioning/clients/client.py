"""A client, its admin and its database, as the control database knows them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.errors import (
    ClientDeleted,
    ClientQuarantined,
    ClientSuspended,
    NotFound,
)
from ghostcrm_provisioning.named_sql import NamedSql

CLIENTS = NamedSql(__package__, "clients.sql")


@dataclass(frozen=True)
class Client:
    """One client with all that is known about it, secrets excepted."""

    id: UUID
    name: str
    plan: str
    wanted_plan: str
    blueprint: str
    status: str
    wanted_status: str
    created_at: datetime
    ready_at: datetime | None
    updated_at: datetime
    admin_user_id: UUID
    admin_email: str
    admin_must_change_password: bool
    database_id: UUID
    database_name: str
    database_status: str
    blueprint_fingerprint: str | None
    handed_over_at: datetime | None
    server_id: UUID
    server_name: str
    provider: str
    region: str | None
    quarantined_at: datetime | None = None
    # The latest full attack: when it began, and whether isolation was proven.
    verified_at: datetime | None = None
    isolation_holds: bool | None = None
    # Of its project at Supabase, once there is one: what Supabase calls it, and its status as it was last seen.
    project_ref: str | None = None
    project_status: str | None = None
    suspended_at: datetime | None = None
    deleted_at: datetime | None = None
    # What was seen when nothing of its database was left, and when.
    absence: str | None = None

    @property
    def is_open(self) -> bool:
        """Ready, and not on its way to anything else: whoever has its credentials may enter."""
        return self.status == "ready" and self.wanted_status == "ready"

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


async def find_client(connection: Connection, client_id: UUID) -> Client:
    """Raises NotFound when there is no client of that id."""
    row = await (
        await connection.execute(CLIENTS["find_client"], {"client_id": client_id})
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no client {client_id}.")
    return Client.from_row(row)


def refuse_who_is_closed(client: Client) -> None:
    """The wish is enough: whoever is to be kept out is not let in while the doors are being closed.

    Raises:
        ClientQuarantined, ClientSuspended, ClientDeleted.
    """
    stands = {client.status, client.wanted_status}
    if "deleted" in stands:
        since = f" since {client.deleted_at:%Y-%m-%d %H:%M} UTC" if client.deleted_at else ""
        is_ = f"is deleted{since}" if client.status == "deleted" else "is being deleted"
        raise ClientDeleted(f"{client.name} {is_}, so nobody is let in.")
    if "quarantined" in stands:
        since = (
            f" since {client.quarantined_at:%Y-%m-%d %H:%M} UTC" if client.quarantined_at else ""
        )
        raise ClientQuarantined(
            f"{client.name} is in quarantine{since}: its isolation is not proven, so nobody is let in.",
            next_step=f"See what was found with `ghostcrm clients explain {client.id}`, mend it, then "
            f"`ghostcrm clients release {client.id}`.",
        )
    if "suspended" in stands:
        since = f" since {client.suspended_at:%Y-%m-%d %H:%M} UTC" if client.suspended_at else ""
        is_ = {
            ("suspended", "suspended"): f"is suspended{since}",
            ("suspended", "ready"): "is being resumed",
        }.get((client.status, client.wanted_status), "is being suspended")
        raise ClientSuspended(
            f"{client.name} {is_}, so nobody is let in.",
            next_step=f"Have it back with `ghostcrm clients resume {client.id}`; see how it stands with "
            f"`ghostcrm clients explain {client.id}`.",
        )


def names_of_seals(client_id: UUID, database_id: UUID) -> tuple[str, str]:
    """What a client's sealed values belong to: its admin's password hash, its credentials."""
    return (
        f"client_admins.password_hash/{client_id}",
        f"client_databases.credentials/{database_id}",
    )
