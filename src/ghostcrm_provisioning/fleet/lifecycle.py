"""How a client is suspended, resumed, exported and deleted.

```python
accepted = await suspend_client(installation, client_id, requested_by="billing", reason="unpaid")
accepted = await resume_client(installation, client_id, requested_by="billing")
exported = await export_client_data(installation, client_id, requested_by="support")
accepted = await delete_client(installation, client_id, confirmed_name="ACME Corp", requested_by="cli")
```

All but the export are accepted here, in one transaction, and carried out by a worker
(:mod:`~ghostcrm_provisioning.provisioning.suspend_client` and its neighbours);
:func:`~ghostcrm_provisioning.following.follow` waits for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from ghostcrm_provisioning.clients.client import Client, find_client, refuse_who_is_closed
from ghostcrm_provisioning.clients.lifecycle import DELETE, RESUME, SUSPEND
from ghostcrm_provisioning.errors import (
    ClientNotReady,
    ExportFailed,
    NotConfirmed,
)
from ghostcrm_provisioning.explanation import Explanation, explain
from ghostcrm_provisioning.exports.dump import place_of_export
from ghostcrm_provisioning.exports.manifest import Export
from ghostcrm_provisioning.exports.recording import record_export
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.exporting import export_client
from ghostcrm_provisioning.provisioning.pause import find_pause, paused_by_itself
from ghostcrm_provisioning.provisioning.work import find_request
from ghostcrm_provisioning.registrars.lifecycle import AcceptedLifecycleChange
from ghostcrm_provisioning.verification.turn import turn_on
from ghostcrm_provisioning.wiring import Installation

_CAN_BE_EXPORTED = frozenset({"ready", "quarantined", "suspended"})
_ENDING = ".dump"


async def suspend_client(
    installation: Installation,
    client_id: UUID,
    *,
    requested_by: str,
    reason: str | None = None,
    with_export: bool = True,
) -> AcceptedLifecycleChange:
    """Have nobody let in until the client is resumed; returns when that cannot be lost any more.

    Args:
        with_export: write and see a dump of the client's data first.

    Raises:
        NotFound, ClientNotReady, ClientQuarantined, ClientDeleted, Conflict: nothing was changed.
    """
    return await installation.lifecycle.accept(
        client_id, SUSPEND, requested_by=requested_by, with_export=with_export, reason=reason
    )


async def resume_client(
    installation: Installation, client_id: UUID, *, requested_by: str, reason: str | None = None
) -> AcceptedLifecycleChange:
    """Have a suspended client back, once it is proven to be isolated. Also one that is ready, and whose
    project Supabase itself has paused.

    Raises:
        As :func:`suspend_client`.
    """
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    paused = await _find_pause(installation, client)
    return await installation.lifecycle.accept(
        client_id,
        RESUME,
        requested_by=requested_by,
        reason=reason,
        is_paused=paused is not None,
    )


async def delete_client(
    installation: Installation,
    client_id: UUID,
    *,
    confirmed_name: str,
    requested_by: str,
    reason: str | None = None,
    with_export: bool = True,
) -> AcceptedLifecycleChange:
    """Have a client's database removed, for ever.

    Args:
        confirmed_name: the client's name, as whoever wants this has typed it.
        with_export: write and see a dump of the client's data first, as it was at the end.

    Raises:
        NotFound, Conflict: nothing was changed.
        NotConfirmed: the name is another one; nothing was changed.
    """
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    if confirmed_name.strip() != client.name:
        raise NotConfirmed(
            f"The client {client.id} has another name than the one that was given, so nothing is deleted.",
            next_step="Give the client's name exactly as `ghostcrm clients show` has it.",
        )
    return await installation.lifecycle.accept(
        client_id, DELETE, requested_by=requested_by, with_export=with_export, reason=reason
    )


async def export_client_data(
    installation: Installation,
    client_id: UUID,
    *,
    requested_by: str,
    reason: str | None = None,
    output: Path | None = None,
) -> Export:
    """Write a dump of a client's data, and see that it is whole; recorded and audited.

    Args:
        output: the dump's file; the users' dump and the manifest get their names from it. None for a new
            name in the folder of exports.

    Raises:
        NotFound, ClientNotReady, ClientDeleted: there is nothing to export.
        ExportNotPossible, ExportFailed, TransientFailure: it was not exported.
    """
    settings = installation.settings
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    if client.status in {"deleting", "deleted"}:
        refuse_who_is_closed(client)
    if client.status not in _CAN_BE_EXPORTED:
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}): there is nothing to export yet.",
            next_step=f"Ask why with `ghostcrm clients explain {client.id}`.",
        )
    place = place_of_export(settings.exports_folder, client, datetime.now(UTC))
    if output is not None:
        place = _without_ending(output)
    provider = await installation.providers.of_server(client.server_id)
    async with installation.control.connection() as connection:
        request, credentials = await find_request(
            connection, installation.sealer, client, installation_id=installation.id
        )
    try:
        # While a closed database is opened for us, nobody else opens or closes it.
        async with (
            turn_on(
                installation.control,
                client.server_id,
                patience_seconds=settings.verify_deadline_seconds,
            ),
            asyncio.timeout(settings.export_deadline_seconds),
        ):
            export = await export_client(
                provider,
                client,
                request,
                credentials,
                place=place,
                binaries=settings.postgres_binaries,
            )
    except TimeoutError:
        raise ExportFailed(
            f"The export of {client.name} did not end within {settings.export_deadline_seconds:g} s.",
            next_step="Raise GHOSTCRM_EXPORT_DEADLINE_SECONDS for a large database.",
        ) from None
    async with installation.control.transaction() as connection:
        await record_export(
            connection, export, run_id=None, requested_by=requested_by, reason=reason
        )
    return export


def _without_ending(output: Path) -> Path:
    absolute = output.expanduser().absolute()
    return absolute.with_name(absolute.name.removesuffix(_ENDING))


async def explain_as_seen(installation: Installation, client_id: UUID) -> Explanation:
    """Why a client is not ready; of one that is ready as far as we know, what is to be seen now.

    Raises:
        NotFound: there is no such client.
    """
    settings = installation.settings
    explanation = await explain(
        installation.control,
        client_id,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
    )
    if not explanation.ready:
        return explanation
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    paused = await _find_pause(installation, client)
    if paused is None:
        return explanation
    error = paused_by_itself(client, paused)
    return replace(
        explanation,
        sentence=error.message,
        cause=paused.seen,
        code=error.code,
        retryable=False,
        since=None,
        fix="Projects of a paid plan at Supabase are not paused.",
        then=f"ghostcrm clients resume {client.id}",
        is_closed=True,
        remedy="resume",
    )


async def _find_pause(installation: Installation, client: Client) -> Observation | None:
    return await find_pause(
        installation.control,
        installation.providers,
        installation.sealer,
        client,
        installation_id=installation.id,
    )
