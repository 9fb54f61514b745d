"""All routes of the API, in one place."""

from __future__ import annotations

from fastapi import FastAPI

from ghostcrm_provisioning.api import problems
from ghostcrm_provisioning.api.routes import clients

# What anybody may ask, without a token. Every other route declares its scope.
PUBLIC = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})


def add_api(application: FastAPI) -> None:
    """Add the API to the application."""
    problems.register(application)
    application.include_router(clients.router)
