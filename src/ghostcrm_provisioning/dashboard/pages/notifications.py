"""What operators were told, and whether it has reached them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.dashboard.notification_list import DELIVERIES, SEVERITIES, list_page
from ghostcrm_provisioning.dashboard.rendering import PREFIX, render
from ghostcrm_provisioning.dashboard.signing_in import Visit, page_for
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter()

_ROWS = 30
_LARGEST = 2**63 - 1


@router.get("/notifications")
async def notifications_page(
    request: Request,
    site: TheSite,
    visit: Annotated[Visit, page_for(Scope.NOTIFICATIONS_READ)],
    severity: str = "",
    delivery: str = "",
    before: int | None = None,
) -> Response:
    """A page of notifications; a filter that does not exist is none."""
    filters = {
        name: value
        for name, value, known in (
            ("severity", severity, SEVERITIES),
            ("delivery", delivery, DELIVERIES),
        )
        if value in known
    }
    if before is not None and not 0 < before <= _LARGEST:
        before = None
    found = await list_page(
        site.installation.control,
        limit=_ROWS + 1,
        before_id=before,
        severity=filters.get("severity"),
        delivery=filters.get("delivery"),
    )
    shown = found[:_ROWS]
    here = f"{PREFIX}/notifications"
    return render(
        request,
        "notifications.html",
        notifications=shown,
        filters=filters,
        severities=SEVERITIES,
        deliveries=DELIVERIES,
        is_delivered_anywhere=bool(site.installation.settings.notify_urls),
        next_href=f"{here}?{urlencode(filters | {'before': str(shown[-1].id)})}"
        if len(found) > _ROWS
        else None,
        first_href=f"{here}?{urlencode(filters)}" if before is not None else None,
    )
