"""For whoever watches this process: is it alive, can it work, and its numbers."""

from __future__ import annotations

import asyncio
import socket
from importlib.metadata import version
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.authentication import refuse_without, whose_token
from ghostcrm_provisioning.api.documents.document import (
    failures,
)
from ghostcrm_provisioning.web.addresses import is_loopback
from ghostcrm_provisioning.web.readiness import look
from ghostcrm_provisioning.web.site import TheSite

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """It answers."""

    status: str
    version: str
    startedAt: str  # noqa: N815


class CheckDocument(BaseModel):
    """One thing that is needed."""

    name: str
    ok: bool
    seen: str


class ReadyDocument(BaseModel):
    """Whether everything that is needed is there."""

    ready: bool
    checks: list[CheckDocument]


@router.get("/healthz", response_model=Alive)
async def alive(site: TheSite) -> JSONResponse:
    """The process answers; it says nothing about what it needs."""
    return JSONResponse(
        {
            "status": "alive",
            "version": version("ghostcrm-provisioning"),
            "startedAt": site.started_at.isoformat(timespec="seconds"),
        }
    )


@router.get(
    "/readyz",
    response_model=ReadyDocument,
    responses={
        503: {"model": ReadyDocument, "description": "Something that is needed is missing."}
    },
)
async def ready(site: TheSite) -> JSONResponse:
    """Database, queue, workers, disk and blueprint: 503 when one of them is not as it must be."""
    readiness = await look(site)
    return JSONResponse(readiness.as_document(), status_code=200 if readiness.is_ready else 503)


async def may_read_metrics(request: Request, site: TheSite) -> None:
    """This machine may without a token, as long as no proxy speaks for others, and the name that is called
    is its own: a browser here could be led to us by a page whose name was given our address. Others need the
    scope ``metrics:read``.

    Raises:
        NotAuthenticated, NotPermitted.
    """
    peer = request.scope["state"].get("peer") or ""
    is_forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    is_here = is_loopback(peer) and not is_forwarded and _is_own_name(request.url.hostname or "")
    if is_here and "authorization" not in request.headers:
        return
    principal = await whose_token(site, request.headers.get("authorization", ""))
    request.state.principal = principal
    refuse_without(Scope.METRICS_READ, principal)


def _is_own_name(host: str) -> bool:
    """An address, which no page's name can be, or what this machine calls itself."""
    try:
        ip_address(host)
    except ValueError:
        return host.lower() in {"localhost", socket.gethostname().lower()}
    return True


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **failures(401, 403, 503),
    },
)
async def metrics(site: TheSite, _: Annotated[Any, Depends(may_read_metrics)]) -> Response:
    """In the text format of Prometheus. From this machine without a token."""
    seen, times = await asyncio.gather(site.statistics.overview(), site.statistics.time_to_ready())
    site.metrics.show(seen, times.whole)
    return Response(site.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
