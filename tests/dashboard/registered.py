"""Clients as the pages find them: registered, and perhaps worked on to the end."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.registrars.registration import Accepted
from ghostcrm_provisioning.registration_form import checked_form
from ghostcrm_provisioning.wiring import Installation


async def register(
    installation: Installation,
    name: str,
    *,
    email: str = "admin@acme.com",
    plan: str = "starter",
    blueprint: str | Path = "ghostcrm",
    is_finished: bool = False,
) -> UUID:
    """A client of that name; ``is_finished`` when its run is to have ended."""
    accepted: Accepted = await installation.registrar.register(
        checked_form(
            company_name=name,
            admin_email=email,
            plan=plan,
            blueprint=str(blueprint),
            admin_password="secure-password",
        ),
        registered_by="a test",
    )
    if is_finished:
        await follow(installation, accepted.run_id)
    return accepted.client_id
