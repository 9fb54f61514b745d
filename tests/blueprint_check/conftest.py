"""A check of a folder, in a scratch database of the test run's server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from ghostcrm_provisioning.blueprint_check.check import check_blueprint
from ghostcrm_provisioning.blueprint_check.finding import Report
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from tests.conftest import Server

BLUEPRINTS = Path(__file__).parent / "blueprints"

Check = Callable[[Path | str], Awaitable[Report]]


@pytest.fixture
async def provider(server: Server) -> AsyncIterator[PostgresProvider]:
    async with PostgresProvider(server.admin_url("postgres"), server_name="test") as provider:
        yield provider


@pytest.fixture
def check(provider: PostgresProvider) -> Check:
    """Checks the blueprint in a folder."""

    async def check_(folder: Path | str) -> Report:
        blueprint = read_blueprint(str(folder))
        async with provider.scratch_database(uuid4()) as connection:
            return await check_blueprint(connection, blueprint, str(folder))

    return check_


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a blueprint with these scripts (``_002_more="…"``, ``seed="…"``) and one good table."""

    def write_(*, seed: str | None = None, **migrations: str) -> Path:
        folder = tmp_path / "blueprint"
        (folder / "seeds").mkdir(parents=True)
        (folder / "blueprint.toml").write_text(
            'name = "small"\ntitle = "Small"\n[plans.starter]\ntitle = "Starter"\n'
        )
        (folder / "001_things.sql").write_text(
            "create table public.things (id integer primary key, name text);\n"
            "alter table public.things enable row level security;\n"
        )
        for name, text in migrations.items():
            (folder / f"{name.removeprefix('_')}.sql").write_text(text)
        if seed is not None:
            (folder / "seeds" / "010_seed.sql").write_text(seed)
        return folder

    return write_
