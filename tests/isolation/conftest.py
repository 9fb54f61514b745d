"""One database built from the shipped blueprint for all tests of a process, with its proof in it.

A test that changes it does so in a transaction that is rolled back: in PostgreSQL, ALTER TABLE, GRANT
and DROP POLICY are rolled back like everything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row

from ghostcrm_provisioning.client_database.blueprint import Blueprint, read_blueprint
from ghostcrm_provisioning.client_database.install import install_blueprint, install_platform
from ghostcrm_provisioning.client_database.isolation.proof import prove_template
from ghostcrm_provisioning.client_database.roles import OWNER_ROLE
from tests.conftest import Server

Connection = AsyncConnection[DictRow]

_BUILT: dict[str, str] = {}


@pytest.fixture(scope="session")
def blueprint() -> Blueprint:
    return read_blueprint("ghostcrm")


@asynccontextmanager
async def administering(url: str) -> AsyncIterator[Connection]:
    """As the product's administrator: no superuser, nothing on the search path."""
    connection = await AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, options="-c search_path="
    )
    async with connection:
        yield connection


@pytest.fixture
async def proven_database(server: Server, control_url: str, blueprint: Blueprint) -> str:
    """The name of the database; made by the first test that asks for it in this process."""
    if server.log_folder.as_posix() not in _BUILT:
        name = f"isolation_{uuid4().hex}"
        async with administering(control_url) as control:
            await control.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        async with administering(server.admin_url(name)) as connection:
            await install_platform(connection)
            await install_blueprint(connection, blueprint)
            await prove_template(connection, blueprint.access)
        _BUILT[server.log_folder.as_posix()] = name
    return _BUILT[server.log_folder.as_posix()]


@pytest.fixture
async def database(server: Server, proven_database: str) -> AsyncIterator[Connection]:
    """The proven database, as the administrator."""
    async with administering(server.admin_url(proven_database)) as connection:
        yield connection


@pytest.fixture
async def breaking(server: Server, proven_database: str) -> AsyncIterator[Connection]:
    """The proven database as a superuser, in a transaction that is rolled back."""
    url = psycopg.conninfo.make_conninfo(
        server.running.url(proven_database), options="-c search_path="
    )
    async with administering(url) as connection, connection.transaction(force_rollback=True):
        yield connection


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """A mutation, in a savepoint that is rolled back."""
    async with connection.transaction(force_rollback=True):
        yield


async def as_owner(connection: Connection, statement: sql.SQL | sql.Composed) -> None:
    """Run one statement as the owner of the schema."""
    await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER_ROLE)))
    await connection.execute(statement)
    await connection.execute("reset role")
