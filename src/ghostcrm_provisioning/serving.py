"""Puts the application together, and serves it."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from ghostcrm_provisioning.api.routing import add_api
from ghostcrm_provisioning.dashboard.routing import add_dashboard
from ghostcrm_provisioning.web.site import open_site
from ghostcrm_provisioning.wiring import Installation


def make_application(installation: Installation) -> FastAPI:
    """The API and the dashboard of an open installation."""
    application = FastAPI(
        title="GhostCRM Client Provisioning",
        version=version("ghostcrm-provisioning"),
        docs_url=None,
        redoc_url=None,
    )
    application.state.site = open_site(installation)
    add_api(application)
    add_dashboard(application)
    return application
