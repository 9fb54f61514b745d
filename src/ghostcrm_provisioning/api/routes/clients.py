"""Clients: list, read, and what can be done for one."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.clients.documents import client_document
from ghostcrm_provisioning.clients.run import find_latest_run, list_steps
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/clients", tags=["clients"])


@router.get("/{client_id}")
async def read(
    client_id: UUID, site: TheSite, _: Annotated[Principal, requires(Scope.CLIENTS_READ)]
) -> dict[str, Any]:
    """One client with its latest run."""
    async with site.installation.control.connection() as connection:
        client = await find_client(connection, client_id)
        run = await find_latest_run(connection, client_id)
        steps = await list_steps(connection, run.id)
    return client_document(client, run, steps)
