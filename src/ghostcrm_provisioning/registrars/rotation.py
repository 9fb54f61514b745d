"""Accepts that what opens a client's database is to be exchanged: in one transaction the new credentials, sealed
beside the current ones, the run, and the queue's job.

So the new ones are known for good before anything is changed where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.clients.client import (
    CLIENTS,
    Client,
    find_client,
    refuse_who_is_closed,
)
from ghostcrm_provisioning.clients.credentials import with_new
from ghostcrm_provisioning.clients.lifecycle import LONGEST_REASON
from ghostcrm_provisioning.clients.rotation import ROTATE, ROTATIONS, Rotation, find_rotation
from ghostcrm_provisioning.clients.run import find_unfinished_run, insert_run
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import ClientNotReady, Conflict, InvalidInput
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS
from ghostcrm_provisioning.provisioning.work import change_credentials
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.queue.provisioning_queue import ProvisioningQueue, lane_of_server
from ghostcrm_provisioning.sealing import Sealer

_PRIORITY = 0


@dataclass(frozen=True)
class WantedRotation:
    """What is to be exchanged, and how.

    Attributes:
        legacy_keys: switch the older keys of a project off, too.
        end_sessions: end those that are open under the old passwords.
    """

    passwords: bool = True
    keys: bool = True
    legacy_keys: bool = False
    end_sessions: bool = False


@dataclass(frozen=True)
class AcceptedRotation:
    """An exchange that will not be lost any more. ``created`` is False when the same is under way."""

    client_id: UUID
    run_id: UUID
    created: bool


class RotationRegistrar:
    """Writes these wishes into the control database."""

    def __init__(
        self, control: ControlDatabase, *, sealer: Sealer, queue: ProvisioningQueue
    ) -> None:
        self._control = control
        self._sealer = sealer
        self._queue = queue

    async def accept(
        self,
        client_id: UUID,
        wanted: WantedRotation,
        *,
        requested_by: str,
        reason: str | None = None,
    ) -> AcceptedRotation:
        """Accept it, or find the same wish. What an exchange that failed has left half done, is done by this one.

        Args:
            reason: kept with the run, and in the audit log.

        Raises:
            NotFound: there is no such client.
            ClientNotReady, ClientQuarantined, ClientSuspended, ClientDeleted: as it stands, it cannot be.
            Conflict: something else is being done for it.
            InvalidInput: the reason is too long.
        """
        reason = _checked(reason)
        async with self._control.transaction() as connection:
            await connection.execute(CLIENTS["lock_client"], {"client_id": client_id})
            client = await find_client(connection, client_id)
            repeated = await self._repeated(connection, client, wanted)
            if repeated is not None:
                return repeated
            number = await self._next_number(connection, client)
            credentials = await change_credentials(
                connection,
                self._sealer,
                client,
                lambda known: with_new(
                    known, number=number, passwords=wanted.passwords, keys=wanted.keys
                ),
            )
            new = credentials.pending
            if new is not None:
                wanted = replace(wanted, passwords=bool(new.passwords), keys=new.keys)
            run_id = uuid4()
            await self._insert(
                connection,
                client,
                run_id,
                wanted,
                number=number,
                requested_by=requested_by,
                reason=reason,
            )
        get_logger("registration").info(
            "client_rotation_requested",
            clientId=str(client_id),
            clientName=client.name,
            runId=str(run_id),
            status=client.status,
        )
        return AcceptedRotation(client_id, run_id, created=True)

    async def _insert(
        self,
        connection: Connection,
        client: Client,
        run_id: UUID,
        wanted: WantedRotation,
        *,
        number: int,
        requested_by: str,
        reason: str | None,
    ) -> None:
        await insert_run(
            connection,
            run_id=run_id,
            client_id=client.id,
            kind=ROTATE,
            priority=_PRIORITY,
            step_names=WORKFLOWS[ROTATE].step_names,
        )
        await connection.execute(
            ROTATIONS["insert_rotation"],
            {
                "run_id": run_id,
                "client_id": client.id,
                "database_id": client.database_id,
                "number": number,
                "passwords": wanted.passwords,
                "keys": wanted.keys,
                "legacy_keys": wanted.legacy_keys,
                "end_sessions": wanted.end_sessions,
                "reason": reason,
                "requested_by": requested_by,
            },
        )
        await self._queue.enqueue(
            connection, run_id, lane=lane_of_server(client.server_id), priority=_PRIORITY
        )
        details = {
            "run": str(run_id),
            "number": number,
            "passwords": wanted.passwords,
            "keys": wanted.keys,
            "legacyKeys": wanted.legacy_keys,
            "endSessions": wanted.end_sessions,
        }
        await record(
            connection,
            actor=requested_by,
            action="client.rotation_requested",
            client_id=client.id,
            details=details if reason is None else details | {"reason": reason},
        )

    async def _next_number(self, connection: Connection, client: Client) -> int:
        row = await (
            await connection.execute(ROTATIONS["next_number"], {"database_id": client.database_id})
        ).fetchone()
        return int(row["number"]) if row else 1

    async def _repeated(
        self, connection: Connection, client: Client, wanted: WantedRotation
    ) -> AcceptedRotation | None:
        refuse_who_cannot_be_rotated(client)
        run = await find_unfinished_run(connection, client.id)
        if run is None:
            return None
        under_way = await find_rotation(connection, run.id)
        if under_way is not None and _covers(under_way, wanted):
            return AcceptedRotation(client.id, run.id, created=False)
        raise Conflict(
            f"Something else is being done for {client.name}: "
            f"{WORKFLOWS[run.kind].title.lower()} (run {run.id}, {run.status}).",
            next_step=f"Wait until it has ended (`ghostcrm clients explain {client.id}`), then ask again.",
        )


def refuse_who_cannot_be_rotated(client: Client) -> None:
    """Raises ClientNotReady, ClientQuarantined, ClientSuspended, ClientDeleted: with what to do first."""
    refuse_who_is_closed(client)
    if client.status != "ready":
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}), so there is nothing to exchange yet.",
            next_step=f"Ask why with `ghostcrm clients explain {client.id}`.",
        )


def _covers(under_way: Rotation, wanted: WantedRotation) -> bool:
    """Whether all that is wanted is being done."""
    return (
        under_way.passwords >= wanted.passwords
        and under_way.keys >= wanted.keys
        and under_way.legacy_keys >= wanted.legacy_keys
        and under_way.end_sessions >= wanted.end_sessions
    )


def _checked(reason: str | None) -> str | None:
    text = (reason or "").strip()
    if len(text) > LONGEST_REASON or "\0" in text:
        raise InvalidInput(f"A reason has at most {LONGEST_REASON} characters.")
    return text or None
