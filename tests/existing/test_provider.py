"""What only a database that was given has: the claim, the doors of others, and what stays when we go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from ghostcrm_provisioning.client_database.roles import prepare_given_server
from ghostcrm_provisioning.errors import DatabaseNotUsable, StampMismatch
from ghostcrm_provisioning.providers.existing.provider import ExistingProvider
from ghostcrm_provisioning.providers.provider import (
    Connection,
    DatabaseRequest,
    Given,
    Login,
    Template,
)
from tests.conftest import ADMIN, ADMIN_PASSWORD
from tests.existing.conftest import SomebodysDatabase


async def _builds_nothing(_: Connection) -> None: ...


@pytest.fixture
def provider() -> ExistingProvider:
    return ExistingProvider(prepare=prepare_given_server)


@pytest.fixture
def request_(theirs: SomebodysDatabase) -> DatabaseRequest:
    """For their database, with a login that may make logins."""
    theirs.do("alter database {} owner to {}", theirs.name, ADMIN)
    database_id = uuid4()
    return DatabaseRequest(
        installation_id=uuid4(),
        database_id=database_id,
        name=f"ghostcrm_{database_id.hex}",
        template=Template("", _builds_nothing),
        logins=(Login("app", "the app's", ("authenticated", "anon")), Login("owner")),
        given=Given(theirs.url(ADMIN, ADMIN_PASSWORD)),
    )


async def test_of_two_clients_one_gets_it(request_: DatabaseRequest) -> None:
    database_id = uuid4()
    other = replace(request_, database_id=database_id, name=f"ghostcrm_{database_id.hex}")
    providers = [ExistingProvider(prepare=prepare_given_server) for _ in range(6)]
    outcomes = await asyncio.gather(
        *(each.create(request_ if number % 2 else other) for number, each in enumerate(providers)),
        return_exceptions=True,
    )
    refused = [isinstance(outcome, StampMismatch) for outcome in outcomes]
    assert refused in ([True, False] * 3, [False, True] * 3), outcomes
    loser = providers[refused.index(True)]
    with pytest.raises(StampMismatch):
        await loser.observe(other if refused[0] else request_)


async def test_two_workers_install_it_once(
    provider: ExistingProvider, request_: DatabaseRequest
) -> None:
    await provider.create(request_)
    installed = 0

    async def install() -> None:
        nonlocal installed
        async with (
            provider.administer(request_) as connection,
            provider.installing(request_, connection),
        ):
            row = await (
                await connection.execute("select to_regclass('public.things') is null as none")
            ).fetchone()
            assert row is not None
            if row["none"]:
                await connection.execute("create table public.things (id integer)")
                installed += 1

    await asyncio.gather(*(install() for _ in range(4)))
    assert installed == 1


async def test_without_a_claim_nothing_is_installed(
    provider: ExistingProvider, request_: DatabaseRequest, theirs: SomebodysDatabase
) -> None:
    async with provider.administer(request_) as connection:
        with suppress(Exception):
            async with provider.installing(request_, connection):
                await connection.execute("create table public.things (id integer)")
    with theirs.inside() as inside:
        row = inside.execute("select to_regclass('public.things') is null as none").fetchone()
    assert row == {"none": True}


async def test_whom_its_owner_has_let_in_stays_in(
    provider: ExistingProvider, request_: DatabaseRequest, theirs: SomebodysDatabase
) -> None:
    reporter = theirs.login()
    theirs.do("grant connect on database {} to {}", theirs.name, reporter)
    await provider.create(request_)
    stranger = theirs.login()
    with psycopg.connect(theirs.url(reporter)) as there:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(theirs.url(stranger))
        await provider.close(request_)
        seen = await provider.observe_closed(request_)
        assert seen.holds, seen.seen
        assert there.execute("select 1").fetchone() == (1,)
        await provider.reopen(request_)
        assert (await provider.observe(request_)).holds
        async with provider.administer(request_) as connection:
            assert await provider.who_else_may_enter(request_, connection) == (reporter,)


async def test_a_login_of_a_neighbour_that_may_enter_is_refused(
    provider: ExistingProvider, request_: DatabaseRequest, theirs: SomebodysDatabase
) -> None:
    neighbour = theirs.login()
    theirs.do("grant service_role to {}", neighbour)
    theirs.do("grant connect on database {} to {}", theirs.name, neighbour)
    with pytest.raises(DatabaseNotUsable) as refused:
        await provider.create(request_)
    assert neighbour in refused.value.message
    theirs.do("revoke connect on database {} from {}", theirs.name, neighbour)
    await provider.create(request_)
    assert (await provider.observe(request_)).holds
    theirs.do("grant connect on database {} to {}", theirs.name, neighbour)
    seen = await provider.observe(request_)
    assert not seen.holds
    assert neighbour in seen.seen


async def test_what_is_in_it_stays_when_we_go(
    provider: ExistingProvider, request_: DatabaseRequest, theirs: SomebodysDatabase
) -> None:
    await provider.create(request_)
    async with provider.administer(request_) as connection:
        await connection.execute("create table public.things (id integer)")
    await provider.remove(request_)
    seen = await provider.observe_absent(request_)
    assert seen.holds
    assert "left to its owner" in seen.seen
    with theirs.inside() as inside:
        assert inside.execute("select * from public.things").fetchall() == []
        left = inside.execute(
            "select rolname from pg_roles where starts_with(rolname, %s)", (request_.name,)
        ).fetchall()
    assert left == []
