"""The application over an installation of the tests' own, and callers with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import time
from uuid import uuid4

import httpx
import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.access.tokens import Tokens
from ghostcrm_provisioning.serving import make_application
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation
from tests.conftest import Server
from tests.prepared_control import PreparedControl
from tests.provisioned import ProvisionedClient, new_installation, provision

Calling = Callable[..., Awaitable[httpx.AsyncClient]]


@asynccontextmanager
async def callers_of(installation: Installation) -> AsyncIterator[Calling]:
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
            transport=transport, base_url="http://ghostcrm.test", headers=headers, timeout=60
        )
        callers.append(client)
        return client

    yield caller
    for client in callers:
        await client.aclose()


class StandingClock:
    """The time of day as rate limits see it: it stands in the middle of a minute until it is moved.

    What a minute takes is counted by the minutes of the clock and weighed by how much of the last one is
    still in the window, so at the turn of a minute one request more is taken.
    """

    def __init__(self) -> None:
        self._now = time() // 60 * 60 + 30

    def time(self) -> float:
        return self._now

    def move(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> StandingClock:
    """Rate limits of this process look at a clock that stands."""
    clock = StandingClock()
    for module in ("limits.aio.storage.memory", "limits.aio.strategies"):
        monkeypatch.setattr(f"{module}.time", clock)
    monkeypatch.setattr("ghostcrm_provisioning.web.rate_limits.time", clock.time)
    return clock


@pytest.fixture
async def calling(installation: Installation) -> AsyncIterator[Calling]:
    """Callers of an installation without clients."""
    async with callers_of(installation) as calling:
        yield calling


@dataclass(frozen=True)
class Inhabited:
    """An installation with a client that is ready; tests of one file share it."""

    client: ProvisionedClient
    installation: Installation
    calling: Calling

    @property
    def path(self) -> str:
        """Of the client."""
        return f"/api/admin/clients/{self.client.id}"


@pytest.fixture(scope="module")
def ready_client(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> ProvisionedClient:
    """ACME Corp, provisioned once for a whole file of tests."""
    folder = tmp_path_factory.mktemp("api")
    return provision("ACME Corp", new_installation(server, prepared_control, folder))


@pytest.fixture
async def inhabited(
    ready_client: ProvisionedClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Inhabited]:
    """The installation of ``ready_client``, open, and callers of it."""
    for name, value in ready_client.environment.items():
        if name.startswith("GHOSTCRM_"):
            monkeypatch.setenv(name, value)
    async with (
        open_installation(read_settings()) as installation,
        callers_of(installation) as calling,
    ):
        yield Inhabited(ready_client, installation, calling)
