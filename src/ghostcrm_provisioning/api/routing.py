"""All routes of the API, in one place."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from ghostcrm_provisioning.api import documentation, problems
from ghostcrm_provisioning.api.openapi import describe_api
from ghostcrm_provisioning.api.parameters import only_known_parameters
from ghostcrm_provisioning.api.routes import (
    admins,
    audit,
    clients,
    credentials,
    health,
    isolation,
    lifecycle,
    me,
    notifications,
    overview,
    plans,
    provisioning,
    queue,
    registrations,
    rotation,
    runs,
    servers,
    tokens,
)

# What anybody may ask, without a token. Every other route declares its scope.
PUBLIC = frozenset(
    {
        "/",
        "/healthz",
        "/readyz",
        "/metrics",  # to this machine; others need a scope
        "/openapi.json",
        "/docs",
        "/docs/errors",
        "/docs/docs.css",
        "/docs/docs.js",
    }
)


_ROUTERS = (
    provisioning.router,
    registrations.router,
    overview.router,
    clients.router,
    lifecycle.router,
    plans.router,
    credentials.router,
    rotation.router,
    isolation.router,
    runs.router,
    queue.router,
    servers.router,
    audit.router,
    notifications.router,
    tokens.router,
    admins.router,
    me.router,
)


def add_api(application: FastAPI) -> None:
    """Add the API to the application."""
    problems.register(application)
    application.openapi = lambda: describe_api(application)  # type: ignore[method-assign]
    application.include_router(health.router)
    application.include_router(documentation.router)
    for router in _ROUTERS:
        application.include_router(router, dependencies=[Depends(only_known_parameters)])
