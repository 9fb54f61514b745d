"""The overview: is all well, and if not, what is it? Numbers are one shared reading for all who look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.dashboard.chart import Point, chart_of
from ghostcrm_provisioning.dashboard.rendering import PREFIX, render
from ghostcrm_provisioning.dashboard.signing_in import Visit, page_for
from ghostcrm_provisioning.statistics.attention import Concern
from ghostcrm_provisioning.statistics.overview import Overview
from ghostcrm_provisioning.statistics.reading import Statistics
from ghostcrm_provisioning.statistics.shared import LONGEST_LIFETIME_SECONDS
from ghostcrm_provisioning.statistics.time_to_ready import Window
from ghostcrm_provisioning.web.site import TheSite
from ghostcrm_provisioning.web.streams import Look

router = APIRouter()

_STATUSES = ("ready", "provisioning", "registered", "failed", "quarantined", "suspended")
_WINDOWS = {Window.DAY: "24 hours", Window.WEEK: "7 days", Window.MONTH: "30 days"}
# So often, and so long, a newer reading is waited for: longer than one may live.
_PAUSE_SECONDS = 1.0
_MOST_LOOKS = int(LONGEST_LIFETIME_SECONDS / _PAUSE_SECONDS) + 2
# What changes by itself while nothing happens: no reason to say that something has changed.
_TICKING = frozenset({"at", "waitMs", "oldestWaitMs", "heartbeatAt", "ratePerMinute", "sentence"})


@dataclass(frozen=True)
class ConcernLine:
    """A concern with the page where more is to be seen, for those who may see it."""

    concern: Concern
    href: str | None
    label: str

    @property
    def state(self) -> str:
        return "failed" if self.concern.severity == "critical" else "warning"


@router.get("/")
async def overview_page(
    request: Request,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_READ)],
    window: Window = Window.DAY,
) -> Response:
    """Everything that an operator wants to know first."""
    overview, times, failures = await asyncio.gather(
        site.statistics.overview(),
        site.statistics.time_to_ready(window),
        site.statistics.failures(window),
    )
    statuses = [*_STATUSES, *(status for status in overview.clients if status not in _STATUSES)]
    return render(
        request,
        "overview.html",
        overview=overview,
        concerns=[_line(concern, visit.principal) for concern in overview.concerns],
        attention=any(concern.severity == "critical" for concern in overview.concerns),
        statuses=[(status, overview.clients.get(status, 0)) for status in statuses],
        is_new=not sum(overview.clients.values()),
        # As the list that the number leads to.
        total=sum(count for status, count in overview.clients.items() if status != "deleted"),
        standing=[worker for worker in overview.workers if worker.standing],
        times=times,
        chart=chart_of(
            [
                Point(bucket.begin, bucket.p50_ms, bucket.p95_ms, bucket.clients)
                for bucket in times.buckets
            ],
            window.bucket,
        ),
        failures=failures,
        window=window,
        windows=_WINDOWS,
        version_seen=_version_of(overview),
    )


@router.get("/events")
async def overview_events(
    request: Request,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.CLIENTS_READ)],
    seen: str = "",
) -> Response:
    """Says when the overview is not what it was any more."""
    is_first = True

    async def look() -> Look:
        nonlocal is_first
        version = _version_of(
            await site.statistics.overview() if is_first else await _newer_overview(site.statistics)
        )
        is_first = False
        return Look({"version": version})

    return await site.streams.begin(
        look,
        event="changed",
        principal=visit.principal,
        last_event_id=request.headers.get("last-event-id") or Look({"version": seen}).digest,
    )


async def _newer_overview(statistics: Statistics) -> Overview:
    """A reading that was made after this was called, unless that takes too long."""
    known = await statistics.overview()
    for _ in range(_MOST_LOOKS):
        newer = await statistics.overview()
        if newer.at != known.at:
            return newer
        await asyncio.sleep(_PAUSE_SECONDS)
    return known


def _version_of(overview: Overview) -> str:
    return Look({"seen": _settled(overview.as_document())}).digest


def _settled(document: Any) -> Any:
    """The document without what ticks."""
    if isinstance(document, Mapping):
        return {name: _settled(value) for name, value in document.items() if name not in _TICKING}
    if isinstance(document, list):
        return [_settled(value) for value in document]
    return document


def _line(concern: Concern, principal: Principal) -> ConcernLine:
    href, label, scope = _where(concern)
    return ConcernLine(concern, href if principal.may(scope) else None, label)


def _where(concern: Concern) -> tuple[str, str, Scope]:
    if concern.client_id is not None:
        return f"{PREFIX}/clients/{concern.client_id}", "Explain", Scope.CLIENTS_READ
    if concern.code == "client_failed":
        return f"{PREFIX}/clients?status=failed", "View failed clients", Scope.CLIENTS_READ
    if concern.code == "client_quarantined":
        return f"{PREFIX}/clients?status=quarantined", "View quarantine", Scope.CLIENTS_READ
    if concern.code in {"no_server_available", "server_not_accepting"}:
        return f"{PREFIX}/servers", "View servers", Scope.SERVERS_READ
    if concern.code == "notifications_undelivered":
        return f"{PREFIX}/notifications", "View notifications", Scope.NOTIFICATIONS_READ
    return f"{PREFIX}/queue", "View queue", Scope.QUEUE_READ
