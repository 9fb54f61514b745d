"""What the admins were told."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import requires
from ghostcrm_provisioning.api.documents.document import (
    Listed,
)
from ghostcrm_provisioning.api.documents.queue import (
    Notification,
)
from ghostcrm_provisioning.api.paging import CursorText, Limit, Page, number
from ghostcrm_provisioning.notifications.listing import (
    list_notifications,
    notification_document,
)
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(prefix="/api/admin/notifications", tags=["notifications"])


@router.get("", response_model=Listed[Notification])
async def list_all_notifications(
    site: TheSite,
    _: Annotated[Principal, requires(Scope.NOTIFICATIONS_READ)],
    limit: Limit = 50,
    cursor: CursorText = None,
) -> JSONResponse:
    """What the admins were told, or are about to be, newest first."""
    page = Page.asked_for("notifications", limit, cursor)
    rows = await list_notifications(
        site.installation.control, limit=limit + 1, before=page.after(number)
    )
    return JSONResponse(
        page.document(
            map(notification_document, rows[:limit]),
            next_place=(rows[limit - 1]["id"],) if len(rows) > limit else None,
        )
    )
