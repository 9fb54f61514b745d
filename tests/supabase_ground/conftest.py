"""Two databases that the platform stands in already, each with the shipped blueprint, proven.

* ``project``: of our local platform, entered as its owner, who has neither CREATEROLE nor BYPASSRLS.
* ``old``: like a project at Supabase from before 2026, whose owner has both, with what else is there.

A test that changes one does so in a transaction that is rolled back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from ghostcrm_provisioning.client_database.blueprint import Blueprint, read_blueprint
from ghostcrm_provisioning.client_database.ground import Ground
from ghostcrm_provisioning.client_database.install import install_blueprint, install_platform
from ghostcrm_provisioning.client_database.isolation.proof import prove_template
from tests.conftest import ADMIN, Server
from tests.prepared_control import create_database
from tests.running_platform import RunningPlatform, create_project, wait_for

Connection = AsyncConnection[DictRow]

_PASSWORD = "the owner's own password"
_OLD_PROJECT = (Path(__file__).parent / "old_project.sql").read_text(encoding="utf-8")
_ROLES = (
    "dashboard_user",
    "pgbouncer",
    "supabase_realtime_admin",
    "supabase_storage_admin",
)


@dataclass(frozen=True)
class Place:
    """A database, how its owner gets in, and what it stands on."""

    url: str
    superuser_url: str
    ground: Ground

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Connection]:
        """As the project's owner, in autocommit mode."""
        connection = await AsyncConnection.connect(self.url, autocommit=True, row_factory=dict_row)
        async with connection:
            yield connection

    @asynccontextmanager
    async def as_superuser(self) -> AsyncIterator[Connection]:
        """As Supabase itself."""
        connection = await AsyncConnection.connect(
            self.superuser_url, autocommit=True, row_factory=dict_row
        )
        async with connection:
            yield connection


@pytest.fixture(scope="session")
def blueprint() -> Blueprint:
    return read_blueprint("ghostcrm")


@pytest.fixture(scope="session")
def make_project(server: Server, platform: RunningPlatform) -> Iterator[Callable[[], Place]]:
    """Makes a project on a local platform."""
    with platform.caller() as caller:

        def make() -> Place:
            made = create_project(caller, platform.organization, db_pass=_PASSWORD)
            wait_for(caller, made["ref"])
            (pooler,) = caller.get(f"/v1/projects/{made['ref']}/config/database/pooler").json()
            url = make_conninfo(
                host=pooler["db_host"],
                port=pooler["db_port"],
                dbname=pooler["db_name"],
                user=pooler["db_user"],
                password=_PASSWORD,
            )
            return Place(
                url,
                server.running.url(pooler["db_name"]),
                Ground(owner=pooler["db_user"], is_supabase=True),
            )

        yield make


@pytest.fixture(scope="session")
def make_old_project(server: Server) -> Callable[[], Place]:
    """Makes a database like a project from before 2026."""

    def make() -> Place:
        name = f"old_project_{uuid4().hex[:12]}"
        owner = f"{name}_owner"
        with server.superuser() as superuser:
            for role in _ROLES:
                _make_role(superuser, role)
            superuser.execute(
                sql.SQL("create role {} login createrole createdb bypassrls password {}").format(
                    sql.Identifier(owner), sql.Literal(_PASSWORD)
                )
            )
            create_database(superuser, name, owner=ADMIN, template="template0")
        asyncio.run(_make_platform(server.admin_url(name)))
        with server.superuser(name) as superuser:
            superuser.execute(
                sql.SQL("alter database {} owner to {}").format(
                    sql.Identifier(name), sql.Identifier(owner)
                )
            )
            # Supabase lets its own roles connect.
            superuser.execute(
                sql.SQL("grant connect on database {} to public").format(sql.Identifier(name))
            )
            statement = sql.SQL(_OLD_PROJECT).format(owner=sql.Identifier(owner))
            superuser.execute(statement)
        url = make_conninfo(server.running.url(name), user=owner, password=_PASSWORD)
        return Place(url, server.running.url(name), Ground(owner=owner, is_supabase=True))

    return make


def _make_role(superuser: psycopg.Connection[dict[str, object]], name: str) -> None:
    # It may be another test's, or another process's at this moment.
    with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        superuser.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))


async def _make_platform(url: str) -> None:
    """What our local platform's projects begin with."""
    template = files("ghostcrm_provisioning.supabase_platform").joinpath("project_template.sql")
    connection = await AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, options="-c search_path="
    )
    async with connection:
        await install_platform(connection)
        async with connection.transaction():
            await connection.execute(template.read_text(encoding="utf-8").encode())


@pytest.fixture(params=["project", "old"])
def empty_place(
    request: pytest.FixtureRequest,
) -> Place:
    """A database of its own, as it is handed to us."""
    return _make(request)


@pytest.fixture(scope="session", params=["project", "old"])
def place(request: pytest.FixtureRequest, blueprint: Blueprint) -> Place:
    """A database with the blueprint, proven; shared."""
    made = _make(request)

    async def prove() -> None:
        async with made.entered() as owner:
            await install_platform(owner, ground=made.ground)
            await install_blueprint(owner, blueprint, ground=made.ground)
            await prove_template(owner, blueprint.access, ground=made.ground)

    asyncio.run(prove())
    return made


def _make(request: pytest.FixtureRequest) -> Place:
    maker = {"project": "make_project", "old": "make_old_project"}[request.param]
    made: Place = request.getfixturevalue(maker)()
    return made


@pytest.fixture
async def owner(place: Place) -> AsyncIterator[Connection]:
    """The proven database, as the project's owner."""
    async with place.entered() as connection:
        yield connection


@pytest.fixture
async def breaking(owner: Connection) -> AsyncIterator[Connection]:
    """The same, in a transaction that is rolled back."""
    async with owner.transaction(force_rollback=True):
        yield owner
