"""A client on a server of our own, and one as a project at the local platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation, Server
from tests.integration.processes import Processes
from tests.integration.small_blueprint import write_small_blueprint
from tests.lifecycle.lives import Life, begin_life
from tests.running_platform import RunningPlatform, new_home, running_platform

OpenAt = Callable[..., Awaitable[Installation]]


@pytest.fixture(scope="session")
def platform(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    environment = new_home(server, tmp_path_factory.mktemp("platform"))
    with running_platform(environment, "--coming-up", "0.2", "--rate-limit", "100000") as started:
        yield started


@pytest.fixture
def small_blueprint(tmp_path: Path) -> Path:
    return write_small_blueprint(tmp_path / "small")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes; whatever becomes of the test, they end with it."""
    started = Processes(tmp_path)
    yield started
    started.end()


@pytest.fixture
def at_platform(platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch) -> str:
    """From now on, settings name an organization of its own there; returns its slug."""
    with platform.caller() as caller:
        slug = str(caller.post("/v1/organizations", json={"name": "a life"}).json()["slug"])
    monkeypatch.setenv("SUPABASE_API_URL", platform.url)
    monkeypatch.setenv("SUPABASE_ACCESS_TOKEN", platform.token)
    monkeypatch.setenv("SUPABASE_ORGANIZATION_SLUG", slug)
    return slug


@pytest.fixture
async def on_postgres(opened: OpenInstallation, small_blueprint: Path, server: Server) -> Life:
    return await begin_life(await opened(blueprint=small_blueprint), server)


@pytest.fixture
async def on_supabase(
    at_platform: str, opened: OpenInstallation, small_blueprint: Path, server: Server
) -> Life:
    return await begin_life(
        await opened(blueprint=small_blueprint, provider="supabase", max_attempts=5), server
    )


@pytest.fixture(params=["postgres", pytest.param("supabase", marks=pytest.mark.long)])
def life(request: pytest.FixtureRequest) -> Life:
    """A client that is ready, at every provider."""
    found: Life = request.getfixturevalue(f"on_{request.param}")
    return found
