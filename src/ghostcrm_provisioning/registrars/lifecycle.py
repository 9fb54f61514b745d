"""Accepts that a client is to be suspended, resumed or deleted: in one transaction the wish, its run, and the
queue's job.

From that transaction on, nobody is given a connection to a client that is to be suspended or deleted; and it
cannot be lost any more. A worker makes it so.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.clients.client import (
    CLIENTS,
    Client,
    find_client,
    refuse_who_is_closed,
)
from ghostcrm_provisioning.clients.lifecycle import (
    DELETE,
    LIFECYCLE,
    LONGEST_REASON,
    RESUME,
    SUSPEND,
)
from ghostcrm_provisioning.clients.run import find_unfinished_run, insert_run
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import ClientNotReady, Conflict, InvalidInput
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.queue.provisioning_queue import ProvisioningQueue, lane_of_server

# What is wished for, and what is asked for, in words.
_WISHES = {SUSPEND: "suspended", RESUME: "ready", DELETE: "deleted"}
_WORDS = {SUSPEND: "suspend", RESUME: "resume", DELETE: "delete"}
_DONE = {SUSPEND: "suspended", RESUME: "resumed", DELETE: "deleted"}
_PRIORITY = 0


@dataclass(frozen=True)
class AcceptedLifecycleChange:
    """A suspension, resumption or deletion that will not be lost any more.

    ``run_id`` is None when there is nothing to do: it is so already. ``created`` is False then, and when the
    same is under way.
    """

    client_id: UUID
    run_id: UUID | None
    created: bool


class LifecycleRegistrar:
    """Writes these wishes into the control database."""

    def __init__(self, control: ControlDatabase, *, queue: ProvisioningQueue) -> None:
        self._control = control
        self._queue = queue

    async def accept(
        self,
        client_id: UUID,
        kind: str,
        *,
        requested_by: str,
        with_export: bool = False,
        reason: str | None = None,
        is_paused: bool = False,
    ) -> AcceptedLifecycleChange:
        """Accept it, or find the same wish.

        Args:
            kind: suspend_client, resume_client or delete_client.
            with_export: a dump of the client's data is written and seen first.
            reason: kept with the run, and in the audit log.
            is_paused: the client is ready as far as we know, yet its database was seen not to run.

        Raises:
            NotFound: there is no such client.
            ClientNotReady, ClientQuarantined, ClientDeleted: as it stands, it cannot be.
            Conflict: something else is being done for it.
            InvalidInput: the reason is too long.
        """
        reason = _checked(reason)
        async with self._control.transaction() as connection:
            await connection.execute(CLIENTS["lock_client"], {"client_id": client_id})
            client = await find_client(connection, client_id)
            repeated = await self._repeated(connection, client, kind, is_paused=is_paused)
            if repeated is not None:
                return repeated
            run_id = uuid4()
            await insert_run(
                connection,
                run_id=run_id,
                client_id=client_id,
                kind=kind,
                priority=_PRIORITY,
                step_names=WORKFLOWS[kind].step_names,
            )
            await connection.execute(
                LIFECYCLE["insert_change"],
                {
                    "run_id": run_id,
                    "client_id": client_id,
                    "with_export": with_export,
                    "reason": reason,
                    "requested_by": requested_by,
                },
            )
            await connection.execute(
                LIFECYCLE["wish"], {"client_id": client_id, "wish": _WISHES[kind]}
            )
            await self._queue.enqueue(
                connection, run_id, lane=lane_of_server(client.server_id), priority=_PRIORITY
            )
            details = {"run": str(run_id), "withExport": with_export}
            await record(
                connection,
                actor=requested_by,
                action=f"client.{_WORDS[kind]}_requested",
                client_id=client_id,
                details=details if reason is None else details | {"reason": reason},
            )
        get_logger("registration").info(
            f"client_{_WORDS[kind]}_requested",
            clientId=str(client_id),
            clientName=client.name,
            runId=str(run_id),
            status=client.status,
        )
        return AcceptedLifecycleChange(client_id, run_id, created=True)

    async def _repeated(
        self, connection: Connection, client: Client, kind: str, *, is_paused: bool
    ) -> AcceptedLifecycleChange | None:
        """What there is already of that wish; None when it is a new one that can be accepted."""
        if client.status == "deleted":
            if kind == DELETE:
                return AcceptedLifecycleChange(client.id, None, created=False)
            refuse_who_is_closed(client)
        run = await find_unfinished_run(connection, client.id)
        if run is not None and run.kind == kind:
            return AcceptedLifecycleChange(client.id, run.id, created=False)
        if run is not None:
            raise Conflict(
                f"Something else is being done for {client.name}: "
                f"{WORKFLOWS[run.kind].title.lower()} (run {run.id}, {run.status}).",
                next_step=f"Wait until it has ended (`ghostcrm clients explain {client.id}`), then ask again.",
            )
        if kind == DELETE:
            return None
        if "suspended" not in {client.status, client.wanted_status} or client.wanted_status in {
            "deleted",
            "quarantined",
        }:
            refuse_who_is_closed(client)
        if client.status not in {"ready", "suspended"}:
            raise ClientNotReady(
                f"{client.name} is not ready ({client.status}), so it cannot be {_DONE[kind]}.",
                next_step=f"Ask why with `ghostcrm clients explain {client.id}`; what was never ready can be "
                f"deleted: `ghostcrm clients delete {client.id}`.",
            )
        is_so = client.status == client.wanted_status == _WISHES[kind]
        if is_so and not (kind == RESUME and is_paused):
            return AcceptedLifecycleChange(client.id, None, created=False)
        return None


def _checked(reason: str | None) -> str | None:
    text = (reason or "").strip()
    if len(text) > LONGEST_REASON or "\0" in text:
        raise InvalidInput(f"A reason has at most {LONGEST_REASON} characters.")
    return text or None
