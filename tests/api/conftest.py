"""The application over the test's own installation, and callers with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import httpx
import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.tokens import Tokens
from ghostcrm_provisioning.serving import make_application
from ghostcrm_provisioning.wiring import Installation

Calling = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def calling(installation: Installation) -> AsyncIterator[Calling]:
    """Makes callers: ``await calling(Scope.CLIENTS_READ)`` has a token with that scope, and
    ``await calling()`` none at all."""
    transport = httpx.ASGITransport(app=make_application(installation), raise_app_exceptions=True)
    callers: list[httpx.AsyncClient] = []

    async def caller(*scopes: Scope) -> httpx.AsyncClient:
        headers = {}
        if scopes:
            new = await Tokens(installation.control).create(
                name=f"test {uuid4().hex[:8]}", scopes=frozenset(scopes), created_by="a test"
            )
            headers["Authorization"] = f"Bearer {new.token.get_secret_value()}"
        client = httpx.AsyncClient(
            transport=transport, base_url="http://ghostcrm.test", headers=headers
        )
        callers.append(client)
        return client

    yield caller
    for client in callers:
        await client.aclose()
