"""One copy of the shipped blueprint's template for all tests of a process, with its proof in it.

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
from ghostcrm_provisioning.client_database.roles import OWNER_ROLE
from tests.conftest import ADMIN, Server
from tests.prepared_control import PreparedControl, create_database

Connection = AsyncConnection[DictRow]


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


@pytest.fixture(scope="session")
def proven_database(server: Server, prepared_control: PreparedControl) -> str:
    """The name of the database."""
    name = f"isolation_{uuid4().hex}"
    with server.superuser() as superuser:
        create_database(superuser, name, owner=ADMIN, template=prepared_control.template)
        # A privilege on a database is not copied with it.
        superuser.execute(
            sql.SQL("grant create on database {} to {}").format(
                sql.Identifier(name), sql.Identifier(OWNER_ROLE)
            )
        )
    return name


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
