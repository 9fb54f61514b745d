"""Accounts and sessions over the test's own control database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ghostcrm_provisioning.access.accounts import Accounts
from ghostcrm_provisioning.access.sessions import Sessions
from ghostcrm_provisioning.wiring import Installation


@pytest.fixture
def accounts(installation: Installation) -> Accounts:
    """With passwords that are hashed cheaply: here they are guessed by the dozen."""
    return Accounts(installation.control, bcrypt_cost=4)


@pytest.fixture
def sessions(installation: Installation, accounts: Accounts) -> Sessions:
    return Sessions(
        installation.control, accounts, idle=timedelta(minutes=30), longest=timedelta(hours=12)
    )
