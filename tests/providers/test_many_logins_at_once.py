"""Databases and logins are changed at the same time, and meet at what a whole server shares."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.roles import APPLICATION, CARETAKER, LOGIN_ROLES
from ghostcrm_provisioning.errors import DatabaseClosed
from ghostcrm_provisioning.providers.owned_database import ensure_application_login
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Login, Provider
from ghostcrm_provisioning.provisioning.work import login_of
from tests.conftest import Server
from tests.integration.waiting import eventually
from tests.providers.conftest import OnPostgres

_BORN = tuple(
    login_of(role, password="its own" if role.key in {APPLICATION, CARETAKER} else None)
    for role in LOGIN_ROLES
)
# Those that are enabled when somebody asks for them, and those that an older version has not made.
_ASKED_FOR = tuple(login_of(role, password="and its own") for role in LOGIN_ROLES)
_API = next(login for login in _ASKED_FOR if login.key == "api")


async def _make_and_enable(
    provider: Provider, request: DatabaseRequest, logins: tuple[Login, ...]
) -> None:
    await provider.create(request)
    for login in logins:
        await provider.enable_login(request, login)


async def test_clients_are_made_while_the_logins_of_others_are_enabled(world: OnPostgres) -> None:
    """All of them become members of the same few roles, of which PostgreSQL locks each that is granted."""
    first = world.request(*_BORN)
    requests = [first, *(world.another(first) for _ in range(15))]
    providers = [await world.provider() for _ in requests]
    await providers[0].create(first)
    each = len(_ASKED_FOR)
    turned = [_ASKED_FOR[i % each :] + _ASKED_FOR[: i % each] for i in range(len(requests))]
    await asyncio.gather(*map(_make_and_enable, providers, requests, turned))
    for request in requests:
        assert (await providers[0].observe(request)).holds


async def test_one_database_is_opened_closed_and_changed_by_many_at_once(world: OnPostgres) -> None:
    request = world.request(*_BORN)
    providers = [await world.provider() for _ in range(4)]
    await providers[0].create(request)
    admitted = replace(_BORN[0], password="known to one")
    outcomes = await asyncio.gather(
        *(
            change
            for provider in providers
            for change in (
                provider.create(request),
                provider.close(request),
                provider.admit(request, admitted),
                provider.reopen(request),
                provider.enable_login(request, _API),
                provider.limit_connections(request, _API),
            )
        ),
        return_exceptions=True,
    )
    failed = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(failure, DatabaseClosed) for failure in failed), failed
    await providers[0].reopen(request)
    assert (await providers[0].observe(request)).holds


async def _waits(world: OnPostgres, statement: str, *, pid: int | None = None) -> None:
    """Until somebody (that session, where one is named) waits for a lock in a statement that is like this."""

    async def look() -> bool:
        return bool(
            world.ask(
                "select from pg_stat_activity where wait_event_type = 'Lock' and query like %s"
                " and pid = coalesce(%s::integer, pid)",
                statement,
                pid,
            )
        )

    await eventually(look, what=statement)


def _change(connection: psycopg.Connection[Any], statement: str, name: str) -> None:
    connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


async def test_who_changes_what_another_transaction_is_changing_does_it_again(
    world: OnPostgres, server: Server, provider: Provider
) -> None:
    request = world.request(*_BORN)
    await provider.create(request)
    login = f"{request.name}_api"
    with psycopg.connect(server.running.url()) as other:
        _change(other, "alter role {} connection limit 3", login)
        enabling = asyncio.create_task(provider.enable_login(request, _API))
        await _waits(world, f"alter role%{login}%")
        other.commit()
    await enabling
    async with provider.log_in(request, _API):
        pass
    assert await provider.connection_limit(request, "api") == _API.connection_limit


async def test_who_is_given_up_in_a_deadlock_does_it_again(
    world: OnPostgres, server: Server, provider: Provider, empty_control_url: str
) -> None:
    request = world.request(*_BORN)
    await provider.create(request)
    login = f"{request.name}_api"
    # Advisory locks belong to a database: the one that the provider works from.
    here = str(conninfo_to_dict(empty_control_url)["dbname"])
    lock = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
    with (
        psycopg.connect(server.running.url()) as before,
        psycopg.connect(server.running.url(here)) as other,
    ):
        other.execute("set deadlock_timeout = '100s'")  # so it is not the one that is given up
        _change(before, "alter role {} connection limit 3", login)
        _change(other, "revoke temporary on database {} from public", request.name)
        enabling = asyncio.create_task(provider.enable_login(request, _API))
        await _waits(world, f"alter role%{login}%")  # and has what `other` is going to ask for
        waiting = asyncio.create_task(asyncio.to_thread(other.execute, lock, (request.name,)))
        await _waits(world, "select pg_advisory_xact_lock%", pid=other.info.backend_pid)
        before.rollback()
        await waiting
        other.commit()
    await enabling
    async with provider.log_in(request, _API):
        pass
    assert await provider.connection_limit(request, "api") == _API.connection_limit


async def test_an_owners_login_takes_the_shared_roles_in_the_same_order(
    world: OnPostgres, server: Server
) -> None:
    """With `anon` still to come, it has none of the others, for which somebody may wait who has `anon`."""
    login = Login("app", "its own password", member_of=("authenticated", "anon"))
    url = server.admin_url("postgres")
    mine = await AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    if mine.info.server_version < 160000:
        pytest.skip("PostgreSQL 15 locks no role that is granted")
    with psycopg.connect(server.running.url()) as other:
        async with mine, mine.transaction(force_rollback=True):
            other.execute("set lock_timeout = '100s'")
            _change(other, "grant anon to {}", "supabase_admin")
            making = asyncio.create_task(ensure_application_login(mine, login))
            await _waits(world, "grant%anon%", pid=mine.info.backend_pid)
            await asyncio.to_thread(_change, other, "grant authenticated to {}", "supabase_admin")
            other.rollback()
            assert await making
