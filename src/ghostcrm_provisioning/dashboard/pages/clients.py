"""The list of clients: searched while one types, filtered, and gone through page by page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.client import CLIENTS
from ghostcrm_provisioning.clients.lifecycle import DELETE, RESUME, SUSPEND
from ghostcrm_provisioning.clients.listing import (
    STATUSES,
    StatusCount,
    count_by_status,
    list_clients,
)
from ghostcrm_provisioning.clients.rotation import ROTATE
from ghostcrm_provisioning.clients.standing import Standing, find_standings
from ghostcrm_provisioning.dashboard.client_list import (
    PAGE_SIZES,
    ClientListAddress,
    read_address,
)
from ghostcrm_provisioning.dashboard.client_view import titles_of
from ghostcrm_provisioning.dashboard.rendering import due, render
from ghostcrm_provisioning.dashboard.signing_in import Visit, page_for
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.web.site import Site, TheSite

router = APIRouter(prefix="/clients")
# By which the page's script asks for the list alone.
FRAGMENT_HEADER = "x-fragment"
_RARE = frozenset({"quarantined", "suspended", "deleting", "deleted"})


@dataclass(frozen=True)
class Row:
    """One client as the list shows it."""

    facts: dict[str, Any]
    standing: Standing | None

    @property
    def time_to_ready_ms(self) -> float | None:
        ready_at = self.facts["ready_at"]
        if ready_at is None:
            return None
        return float((ready_at - self.facts["created_at"]).total_seconds() * 1000)

    @property
    def state(self) -> str:
        return str(self.facts["status"])

    @property
    def version(self) -> str | None:
        """Of its blueprint, as it was observed in its database."""
        fingerprint = None if self.standing is None else self.standing.blueprint_fingerprint
        return None if fingerprint is None else fingerprint[:8]

    @property
    def reason(self) -> Markup | str | None:
        """Why it is not ready, or what is being done for it, in a few words."""
        standing = self.standing
        if self.state == "quarantined":
            return "Its isolation is not proven."
        is_as_wished = self.state in {"ready", "suspended", "deleted"}
        if standing is None or (is_as_wished and standing.run_status == "succeeded"):
            return None
        if self.state == "ready" and standing.kind == RESUME and standing.run_status == "failed":
            return None  # it went into quarantine, and was released since
        step = titles_of(standing.kind).get(standing.step or "", standing.step or "")
        before = {
            "change_plan": "Change of plan: ",
            SUSPEND: "Suspension: ",
            RESUME: "Resumption: ",
            DELETE: "Deletion: ",
            ROTATE: "Exchange of credentials: ",
        }.get(standing.kind, "")
        if standing.run_status == "queued":
            return f"{before}waiting for a worker" if before else "Waiting for a worker"
        if standing.run_status == "running":
            return f"{before}{step}"
        message = str((standing.error or {}).get("message") or "no reason was recorded")
        if standing.run_status == "waiting":
            return Markup("{}{}, again {}: {}").format(
                before, step, due(standing.next_attempt_at), message
            )
        return f"{before}{step}: {message}" if step else f"{before}{message}"


@dataclass(frozen=True)
class StateLink:
    """A link that shows the clients of one state, and how many there are."""

    label: str
    href: str
    count: str
    is_chosen: bool


@router.get("")
async def page(
    request: Request, site: TheSite, visit: Annotated[Visit, page_for(Scope.CLIENTS_READ)]
) -> HTMLResponse:
    """The list; with the header ``X-Fragment``, that part of the page alone."""
    query = request.query_params
    address = read_address({name: query.getlist(name) for name in query})
    facts = await _look(site, address)
    is_fragment = FRAGMENT_HEADER in request.headers
    response = render(
        request,
        "clients/list.html" if is_fragment else "clients/page.html",
        address=address,
        may_provision=visit.principal.may(Scope.CLIENTS_WRITE),
        **facts,
        **({} if is_fragment else await _choices(site)),
        page_sizes=PAGE_SIZES,
    )
    response.headers["Vary"] = "X-Fragment"
    return response


async def _look(site: Site, address: ClientListAddress) -> dict[str, Any]:
    known = address.wanted
    statuses = tuple(status for status in known.statuses if status in STATUSES)
    async with site.installation.control.transaction() as connection:
        await connection.execute("set transaction isolation level repeatable read, read only")
        if known.statuses and not statuses:
            rows, next_place = [], None
        else:
            found = await list_clients(connection, known, limit=address.size, after=address.after)
            rows, next_place = found.rows, found.next_place
        counts = await count_by_status(connection, known)
        ids: list[UUID] = [row["id"] for row in rows]
        standings = await find_standings(connection, ids) if ids else {}
    shown = [
        count
        for count in counts
        if count.status in (known.statuses or STATUSES)
        and not (known.leaves_out_deleted and count.status == "deleted")
    ]
    links = _links(address, counts)
    return {
        "rows": [Row(row, standings.get(row["id"])) for row in rows],
        "next_place": next_place,
        "links": links,
        "total": sum(count.clients for count in counts),
        "found": _sum_of(shown),
        "is_filtered": not known.is_empty,
        "deleted": next(
            (link for link in links if link.label == "deleted" and not link.is_chosen), None
        ),
    }


def _links(address: ClientListAddress, counts: list[StatusCount]) -> list[StateLink]:
    """All that are there, and those of each state; of a state that is rare, when there are any."""
    there = [count for count in counts if count.status != "deleted"]
    links = [StateLink("all", address.with_status(), _sum_of(there), not address.statuses)]
    for count in counts:
        is_chosen = address.statuses == (count.status,)
        if count.clients or is_chosen or count.status not in _RARE:
            links.append(
                StateLink(
                    count.status, address.with_status(count.status), _sum_of([count]), is_chosen
                )
            )
    return links


def _sum_of(counts: list[StatusCount]) -> str:
    more = "+" if any(count.is_capped for count in counts) else ""
    return f"{sum(count.clients for count in counts):,}{more}"


async def _choices(site: Site) -> dict[str, Any]:
    """What can be chosen in the filters."""
    servers = await site.installation.control.fetch_all(CLIENTS["list_servers"])
    try:
        blueprint = await asyncio.to_thread(read_blueprint, site.installation.settings.blueprint)
        plans = {name: plan.title for name, plan in blueprint.plans.items()}
    except GhostcrmError:  # the list can be read all the same
        plans = {}
    regions = sorted({server["region"] for server in servers if server["region"]})
    return {
        "server_choices": [(server["name"], server["name"]) for server in servers],
        "region_choices": [(region, region) for region in regions],
        "plans": plans,
    }
