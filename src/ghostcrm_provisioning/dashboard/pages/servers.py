"""The servers: how many clients each has room for, and why one takes no more."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.clients.standing import count_running_by_server
from ghostcrm_provisioning.dashboard.rendering import render
from ghostcrm_provisioning.dashboard.signing_in import Visit, page_for
from ghostcrm_provisioning.statistics.numbers import ServerNumbers
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/servers")

WHY_NOT = {
    "switched_off": "It was told to take no more clients; those that it has stay.",
    "given": "Databases that were given: a client comes here when it is registered with one.",
    "full": "It has as many clients as it may have.",
}


@router.get("")
async def page(
    request: Request, site: TheSite, visit: Annotated[Visit, page_for(Scope.SERVERS_READ)]
) -> HTMLResponse:
    """All servers."""
    control = site.installation.control
    rows = await control.fetch_all(CLIENTS["list_servers"])
    async with control.connection() as connection:
        running = await count_running_by_server(connection)
    servers = [
        ServerNumbers(
            str(row["id"]),
            row["name"],
            row["provider"],
            row["region"],
            row["clients"],
            row["client_limit"],
            row["accepting"],
        )
        for row in rows
    ]
    limits = [server.client_limit for server in servers if server.accepting]
    return render(
        request,
        "servers.html",
        servers=servers,
        running=running,
        per_server=site.installation.settings.concurrency_per_server,
        why_not=WHY_NOT,
        takes_any=any(server.accepting for server in servers),
        room=None
        if None in limits
        else sum(server.headroom or 0 for server in servers if server.accepting),
        may_read_clients=visit.principal.may(Scope.CLIENTS_READ),
        attention=not any(server.accepting for server in servers),
    )
