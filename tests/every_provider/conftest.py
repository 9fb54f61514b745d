"""Every provider in turn: on the server that comes with us, on Debian's, at the platform, on what is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.roles import prepare_server
from ghostcrm_provisioning.embedded import EmbeddedPostgres, RunningPostgres
from ghostcrm_provisioning.providers.provider import Provider
from tests.conftest import Server
from tests.every_provider.worlds import OnExisting, OnPostgres, OnSupabase, World
from tests.running_platform import RunningPlatform

MakeWorld = Callable[[AsyncExitStack], World]

_DEBIAN = Path("/usr/lib/postgresql")


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    """A server of Debian's, with the roles that client databases share."""
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        pytest.skip("Debian's postgresql is not installed (apt-get install postgresql)")
    postgres = EmbeddedPostgres(
        tmp_path_factory.mktemp("debian"), binaries=versions[-1].parent, settings={"fsync": "off"}
    )
    running = postgres.start()
    asyncio.run(_prepare(running))
    yield running
    postgres.stop()


async def _prepare(running: RunningPostgres) -> None:
    connection = await psycopg.AsyncConnection.connect(
        running.url(), autocommit=True, row_factory=dict_row
    )
    async with connection:
        row = await (await connection.execute("select current_user::text as name")).fetchone()
        assert row is not None
        await prepare_server(connection, admin=row["name"])


def _on_embedded(request: pytest.FixtureRequest) -> MakeWorld:
    server: Server = request.getfixturevalue("server")
    control_url: str = request.getfixturevalue("empty_control_url")
    return lambda resources: OnPostgres(server.running, control_url, resources)


def _on_debian(request: pytest.FixtureRequest) -> MakeWorld:
    running: RunningPostgres = request.getfixturevalue("debian")
    return lambda resources: OnPostgres(running, running.url(), resources)


def _on_supabase(request: pytest.FixtureRequest) -> MakeWorld:
    platform: RunningPlatform = request.getfixturevalue("platform")
    control_url: str = request.getfixturevalue("control_url")
    home: Path = request.getfixturevalue("tmp_path")
    return lambda resources: OnSupabase(platform, control_url, home, resources)


def _on_existing(request: pytest.FixtureRequest) -> MakeWorld:
    server: Server = request.getfixturevalue("server")
    return lambda _: OnExisting(server)


_WORLDS = {
    "embedded": _on_embedded,
    "postgres": _on_debian,
    "supabase": _on_supabase,
    "existing": _on_existing,
}


@pytest.fixture(params=_WORLDS)
def make_world(request: pytest.FixtureRequest) -> MakeWorld:
    """Its server is only started when it is asked for."""
    return _WORLDS[request.param](request)


@pytest.fixture
async def world(make_world: MakeWorld) -> AsyncIterator[World]:
    """Where the provider under test makes its databases."""
    async with AsyncExitStack() as resources:
        yield make_world(resources)


@pytest.fixture
async def provider(world: World) -> Provider:
    return await world.provider()
