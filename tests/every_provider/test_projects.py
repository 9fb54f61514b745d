"""What is so of projects alone: a paid plan's are not paused, and what was paused by others is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ghostcrm_provisioning.errors import DatabaseRejected
from ghostcrm_provisioning.postgres_errors import translating
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Provider
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
