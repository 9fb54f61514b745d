"""A client that is ready as far as we know, and whose database does not run: Supabase itself pauses projects of
its free plan that nobody has used for a week."""

from __future__ import annotations

import asyncio
from uuid import UUID

from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import ClientSuspended, GhostcrmError
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.client_database_provisioner import Providers
from ghostcrm_provisioning.provisioning.work import find_request
from ghostcrm_provisioning.sealing import Sealer

_LOOK_SECONDS = 5.0


async def find_pause(
    control: ControlDatabase,
    providers: Providers,
    sealer: Sealer,
    client: Client,
    *,
    installation_id: UUID,
) -> Observation | None:
    """What is to be seen of such a client; None when its database runs, or that cannot be told now."""
    if not client.is_open or client.provider != "supabase":
        return None
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            provider = await providers.of_server(client.server_id)
            async with control.connection() as connection:
                request, _ = await find_request(
                    connection, sealer, client, installation_id=installation_id
                )
            seen = await provider.observe_suspended(request)
    except (GhostcrmError, TimeoutError):
        return None
    return seen if seen.holds else None


def paused_by_itself(client: Client, seen: Observation) -> ClientSuspended:
    """The error to raise for it."""
    return ClientSuspended(
        f"{client.name} cannot be entered: {seen.seen}. Supabase pauses projects of its free plan that nobody has "
        "used for a week.",
        next_step=f"Have it back with `ghostcrm clients resume {client.id}`.",
    )
