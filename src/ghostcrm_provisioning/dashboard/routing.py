"""All pages of the dashboard, in one place."""

from __future__ import annotations

from fastapi import FastAPI


def add_dashboard(application: FastAPI) -> None:
    """Add the pages to the application."""
    del application  # the pages are being built
