"""How the API answers when something was accepted that goes on: at once, or when it has ended.

Nothing is worked on inside of a request: a worker does that. Whoever waits, waits for announcements.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from fastapi.responses import JSONResponse

from ghostcrm_provisioning.clients.description import describe_client
from ghostcrm_provisioning.clients.run import Run, find_run
from ghostcrm_provisioning.explanation import Explanation, explain
from ghostcrm_provisioning.web.site import Site

LONGEST_WAIT_SECONDS = 60
_LOOK_AGAIN_AFTER_SECONDS = "1"

Wait = Annotated[
    float,
    Query(
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        description="Answer when it has ended, or after so many seconds at the latest. Whatever the "
        "answer, it goes on.",
    ),
]


async def explanation_of(site: Site, client_id: UUID) -> Explanation:
    """Why the client is not ready. Raises NotFound."""
    settings = site.installation.settings
    return await explain(
        site.installation.control,
        client_id,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
    )


async def answer_accepted(
    site: Site,
    client_id: UUID,
    run_id: UUID,
    *,
    created: bool,
    wait_seconds: float,
    temporary_password: str | None = None,
) -> JSONResponse:
    """202 with where to look; or 200 with the client, once its run has ended within ``wait_seconds``.

    200 says that it has *ended*: the client's ``status``, and its run's ``error``, say how.
    """
    more: dict[str, Any] = {
        "clientId": str(client_id),
        "runId": str(run_id),
        "statusUrl": f"/api/admin/clients/{client_id}",
        "created": created,
    }
    headers = {"Location": f"/api/admin/runs/{run_id}", "Cache-Control": "no-store"}
    if wait_seconds > 0 and await _wait_for(site, run_id, wait_seconds):
        async with site.installation.control.connection() as connection:
            _, _, document = await describe_client(connection, client_id)
        if temporary_password is not None:
            document["admin"]["temporaryPassword"] = temporary_password
        return JSONResponse(document | more, headers=headers)
    explanation = await explanation_of(site, client_id)
    more |= {"status": explanation.status, "explanation": explanation.sentence}
    if temporary_password is not None:
        more["admin"] = {"temporaryPassword": temporary_password}
    headers["Retry-After"] = _LOOK_AGAIN_AFTER_SECONDS
    return JSONResponse(more, status_code=202, headers=headers)


async def answer_nothing_to_do(site: Site, client_id: UUID) -> JSONResponse:
    """200 with the client: what was asked for is so already."""
    async with site.installation.control.connection() as connection:
        _, _, document = await describe_client(connection, client_id)
    document |= {
        "clientId": str(client_id),
        "statusUrl": f"/api/admin/clients/{client_id}",
        "created": False,
    }
    return JSONResponse(document, headers={"Cache-Control": "no-store"})


async def _wait_for(site: Site, run_id: UUID, seconds: float) -> Run | None:
    async def look() -> Run | None:
        async with site.installation.control.connection() as connection:
            run = await find_run(connection, run_id)
        return run if run.is_finished else None

    return await site.announcements.wait_until(look, about=run_id, seconds=seconds)
