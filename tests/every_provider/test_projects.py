"""What is so of projects alone: a paid plan's are not paused, and what was paused by others is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ghostcrm_provisioning.errors import (
    DatabaseRejected,
    ProjectGone,
    ProjectUnusable,
    ServerUnreachable,
)
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers.owned_database import Place, connect_as_owner
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Provider
from ghostcrm_provisioning.providers.supabase.documents import HEALTHY, Project
from ghostcrm_provisioning.providers.supabase.provider import refuse_elsewhere
from tests.conftest import Server
from tests.every_provider.test_every_provider import can_enter, login_of, made, until_it_is_so
from tests.every_provider.worlds import OnSupabase
from tests.running_platform import RunningPlatform


@pytest.fixture
async def world(
    platform: RunningPlatform, control_url: str, tmp_path: Path
) -> AsyncIterator[OnSupabase]:
    async with AsyncExitStack() as resources:
        yield OnSupabase(platform, control_url, tmp_path, resources)


async def test_what_is_not_paused_is_closed_and_comes_back(
    world: OnSupabase, platform: RunningPlatform
) -> None:
    provider, request = await world.provider(), world.request()
    await made(provider, request)
    url = await provider.login_url(request, login_of(request, "owner"))
    (project,) = world.projects(request)
    with platform.caller() as caller:
        fault = caller.post(
            "/platform/faults",
            json={
                "kind": "error_before",
                "status": 400,
                "method": "POST",
                "path": f"/v1/projects/{project['ref']}/pause",
            },
        )
        assert fault.status_code == 201, fault.text
    await until_it_is_so(lambda: provider.suspend(request))
    seen = await provider.observe_suspended(request)
    assert seen.holds, seen.seen
    assert "not paused" in seen.seen
    assert world.projects(request)[0]["status"] == "ACTIVE_HEALTHY"
    assert not await can_enter(url)
    await until_it_is_so(lambda: provider.resume(request))
    assert (await provider.observe(request)).holds
    assert await can_enter(url)


@pytest.mark.parametrize(
    ("wanted", "lies"),
    [
        ("eu-central-1", "eu-central-1"),
        ("emea", "eu-west-3"),
        ("apac", "xy-new-1"),
        ("apac", None),
        (None, "us-east-1"),
    ],
)
def test_a_project_where_it_was_wanted_may_be_used(wanted: str | None, lies: str | None) -> None:
    refuse_elsewhere(Project("a", "a", HEALTHY, region=lies), wanted)


@pytest.mark.parametrize(
    ("wanted", "lies"), [("eu-central-1", "us-east-1"), ("emea", "ap-south-1")]
)
def test_a_project_that_lies_elsewhere_is_not_used(wanted: str, lies: str) -> None:
    with pytest.raises(ProjectUnusable, match=f"lies in {lies}, and is wanted in {wanted}"):
        refuse_elsewhere(Project("a", "a", HEALTHY, region=lies), wanted)


async def test_what_is_refused_in_a_database_is_told_as_it_is(world: OnSupabase) -> None:
    """Whatever it says: its owner chooses the words."""
    provider, request = await world.provider(), world.request()
    await made(provider, request)
    with pytest.raises(DatabaseRejected, match="no such password"):
        await refused_inside(provider, request)


async def refused_inside(provider: Provider, request: DatabaseRequest) -> None:
    async with provider.administer(request) as connection:
        with translating("the database"):
            await connection.execute(
                "do $$ begin raise exception 'no such password' using errcode = '28000'; end $$"
            )


async def test_what_was_closed_before_it_was_paused_is_closed_when_it_comes_back(
    world: OnSupabase,
) -> None:
    provider, request = await world.provider(), world.request()
    await made(provider, request)
    url = await provider.login_url(request, login_of(request, "owner"))
    await provider.close(request)
    assert not (await provider.observe_suspended(request)).holds
    await until_it_is_so(lambda: provider.suspend(request))
    seen = await provider.observe_suspended(request)
    assert seen.holds, seen.seen
    assert "INACTIVE" in seen.seen
    await until_it_is_so(lambda: provider.resume(request))
    seen = await provider.observe_closed(request)
    assert seen.holds, seen.seen
    assert not await can_enter(url)
    await provider.reopen(request)
    assert await can_enter(url)


async def test_logins_that_its_owner_has_made_are_shut_out_while_it_is_closed(
    world: OnSupabase, server: Server
) -> None:
    provider, request = await world.provider(), world.request()
    await made(provider, request)
    url = await provider.login_url(request, login_of(request, "owner"))
    who = conninfo_to_dict(url)
    other = f"other_{request.database_id.hex}"
    names = {"open": other, "shut": f"{other}_shut", "owner": str(who["user"])}
    with server.superuser(str(who["dbname"])) as superuser:
        if superuser.info.server_version < 160000:
            pytest.skip(
                "there, who makes roles could change those of the platform's own services, too"
            )
        # As Supabase's `postgres` may.
        _do(superuser, "alter role {owner} createrole", names)
    with psycopg.connect(url, autocommit=True) as owner:
        _do(owner, "create role {open} login password 'a password'", names)
        _do(owner, "create role {shut}", names)
    theirs = make_conninfo(url, user=other, password="a password")
    with server.superuser(str(who["dbname"])) as superuser:
        _do(
            superuser,
            "grant connect on database {database} to {open}",
            names | {"database": str(who["dbname"])},
        )
    inside = psycopg.connect(theirs)
    assert not (await provider.observe_closed(request)).holds
    await provider.close(request)
    seen = await provider.observe_closed(request)
    assert seen.holds, seen.seen
    with pytest.raises(psycopg.OperationalError):
        inside.execute("select")
    assert not await can_enter(theirs)
    await provider.close(request)  # once more, after a crash
    await provider.reopen(request)
    assert await can_enter(theirs)
    with server.superuser() as superuser:
        row = superuser.execute(
            "select rolcanlogin from pg_roles where rolname = %s", (names["shut"],)
        ).fetchone()
    assert row == {"rolcanlogin": False}


def _do(connection: psycopg.Connection[Any], statement: str, names: dict[str, str]) -> None:
    identifiers = {key: sql.Identifier(name) for key, name in names.items()}
    connection.execute(sql.SQL(statement).format(**identifiers))


async def test_a_database_password_that_others_have_changed_is_said(
    world: OnSupabase, platform: RunningPlatform
) -> None:
    provider, request = await world.provider(), world.request()
    await made(provider, request)
    (project,) = world.projects(request)
    with platform.caller() as caller:
        changed = caller.patch(
            f"/v1/projects/{project['ref']}/database/password",
            json={"password": "chosen-by-somebody-else"},
        )
        assert changed.status_code == 200, changed.text
    with pytest.raises(DatabaseRejected) as refused:
        await refused_inside(provider, request)
    assert "dashboard" in refused.value.next_step


async def test_whose_project_others_have_paused_or_deleted_is_told_so(
    world: OnSupabase, platform: RunningPlatform
) -> None:
    provider, request = await world.provider(), world.request()
    await made(provider, request)
    (project,) = world.projects(request)
    with platform.caller() as caller:
        assert caller.post(f"/v1/projects/{project['ref']}/pause").is_success
        await until_it_is_so(lambda: provider.suspend(request))
        with pytest.raises(ProjectUnusable, match="paused"):
            await refused_inside(provider, request)
        assert caller.delete(f"/v1/projects/{project['ref']}").is_success
    with pytest.raises(ProjectGone):
        await refused_inside(provider, request)


async def test_a_password_is_not_told_to_whoever_asks_for_it_in_clear_text() -> None:
    heard, served = bytearray(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(await reader.read(4096)) == 8:  # may it be encrypted? It may not
            writer.write(b"N")
        writer.write(b"R\0\0\0\x08\0\0\0\x03")  # AuthenticationCleartextPassword
        heard.extend(await reader.read(4096))
        writer.close()
        await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place = Place("127.0.0.1", port, "postgres", "postgres", tenant=".abcdefghijklmnopqrst")
    async with server:
        with pytest.raises(ServerUnreachable, match="cleartext password"):
            await come_in(place, "a-secret-password")
        await served.wait()
    assert b"a-secret-password" not in heard


async def come_in(place: Place, password: str) -> None:
    async with connect_as_owner(place, password, where="the database"):
        pass
