"""Accounts and sessions over the test's own control database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.sessions import Sessions
from ghostcrm_provisioning.wiring import Installation


async def hold_waits(installation: Installation) -> None:
    """Have every wait that has begun last an hour longer: the first ones are of a second or two, and a
    busy machine may need that long for the next line of a test."""
    await installation.control.execute(
        "update sign_in_counters set refused_until = refused_until + interval '1 hour'"
    )


@pytest.fixture
def accounts(installation: Installation) -> Accounts:
    """With passwords that are hashed cheaply: here they are guessed by the dozen."""
    return Accounts(installation.control, bcrypt_cost=4)


@pytest.fixture
def sessions(installation: Installation, accounts: Accounts) -> Sessions:
    return Sessions(
        installation.control, accounts, idle=timedelta(minutes=30), longest=timedelta(hours=12)
    )
