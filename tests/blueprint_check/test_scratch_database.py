"""A scratch database is empty, closed to others, and gone afterwards, also when its user was killed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest

from ghostcrm_provisioning.errors import DatabaseRejected
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from tests.conftest import Server

_LOOK: LiteralString = """
select current_database() as name,
       has_database_privilege('public', current_database(), 'connect') as is_open
"""

# Takes a scratch database, says so, and works in it until it is killed.
_WORKER = """
import asyncio, json, sys
from uuid import UUID
from ghostcrm_provisioning.providers.postgres import PostgresProvider

async def main(url, installation):
    async with PostgresProvider(url, server_name="test") as provider:
        async with provider.scratch_database(UUID(installation)) as connection:
            row = await (await connection.execute("select current_database() as name")).fetchone()
            print(row["name"], flush=True)
            await connection.execute("select pg_sleep(3600)")

asyncio.run(main(*json.loads(sys.argv[1])))
"""


def _names(server: Server, installation: str) -> set[str]:
    with server.superuser() as connection:
        rows = connection.execute(
            "select datname from pg_database where datname like %s",
            (f"ghostcrm_scratch_{installation[:8]}%",),
        ).fetchall()
    return {str(row["datname"]) for row in rows}


async def test_it_is_dropped_whatever_happens(server: Server, provider: PostgresProvider) -> None:
    installation = uuid4()

    async def work(statement: LiteralString) -> None:
        async with provider.scratch_database(installation) as connection:
            row = await (await connection.execute(_LOOK)).fetchone()
            assert row is not None
            assert _names(server, installation.hex) == {row["name"]}
            assert row["is_open"] is False
            await connection.execute(statement)

    await work("select 1")
    assert _names(server, installation.hex) == set()
    with pytest.raises(DatabaseRejected):
        await work("select nonsense")
    assert _names(server, installation.hex) == set()


async def test_leftovers_are_dropped_and_what_is_in_use_is_not(
    server: Server, provider: PostgresProvider
) -> None:
    installation = uuid4()
    arguments = json.dumps([server.admin_url("postgres"), str(installation)])
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER, arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            abandoned = process.stdout.readline().strip()
            assert abandoned
            async with provider.scratch_database(installation):
                in_use = _names(server, installation.hex)
                assert abandoned in in_use
                assert len(in_use) == 2
            assert _names(server, installation.hex) == {abandoned}
        finally:
            process.kill()
    _wait_until_its_lock_is_free(server, abandoned)
    async with provider.scratch_database(installation):
        assert abandoned not in _names(server, installation.hex)
    assert _names(server, installation.hex) == set()


def _wait_until_its_lock_is_free(server: Server, name: str) -> None:
    """The server notices by itself that the process is gone; taking the lock waits for that."""
    with psycopg.connect(server.admin_url("postgres"), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 1))", (name,))


async def test_nothing_of_others_is_dropped(server: Server, provider: PostgresProvider) -> None:
    installation = uuid4()
    name = f"ghostcrm_scratch_{installation.hex[:8]}_of_others"
    with server.superuser() as connection:
        connection.execute(f"create database {name}".encode())
        try:
            async with provider.scratch_database(installation):
                pass
            assert _names(server, installation.hex) == {name}
        finally:
            connection.execute(f"drop database {name}".encode())
