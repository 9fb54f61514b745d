"""Clients that are provisioned as projects, each by an installation of its own, through a door of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.connecting import connect_to
from ghostcrm_provisioning.provisioning.work import open_secrets
from ghostcrm_provisioning.settings import Settings, read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation
from tests.conftest import ADMIN, Server
from tests.forked import FORKED
from tests.integration.control import Registered, at_work, find_run, list_attempts, register
from tests.prepared_control import PreparedControl, create_database
from tests.running_platform import RunningPlatform
from tests.supabase_runs.calls import AFTER_A_DEATH, CALLS, attempts_of
from tests.supabase_runs.door import KILLING, Call, Door, Fault, open_door
from tests.supabase_runs.lives import in_a_process

PASSWORD = "secure-password"
ADMIN_EMAIL = "admin@acme.com"
BUCKET = ("files", False, 60 * 1024**2)
_LOOKS_AT_KEYS = Call("acquire_database", "GET", "/v1/projects/*/api-keys")
_PATIENCE_SECONDS = 1500.0
_DROP_PATIENCE_SECONDS = 120.0
_BETWEEN_LOOKS_SECONDS = 0.05
_DEFAULTS: Mapping[str, object] = MappingProxyType({})
# Nothing here is encrypted; to read the certificates that are trusted takes longer than to ask.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class World:
    """What all clients of a test have in common."""

    server: Server
    platform: RunningPlatform
    organization: str
    prepared: PreparedControl
    blueprint: Path
    folder: Path
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))


@dataclass
class Provisioned:
    """A client whose run has ended, as everybody sees it."""

    installation: Installation
    environment: dict[str, str]
    registered: Registered
    door: Door
    deaths: int = 0

    async def attempts(self) -> list[tuple[str, int, str]]:
        return await list_attempts(self.installation, self.registered.run_id)


@asynccontextmanager
async def provisioned(
    world: World,
    *faults: Fault,
    in_processes: bool = False,
    waits: bool = False,
    **settings: object,
) -> AsyncIterator[Provisioned]:
    """A client whose run has met those faults, and has ended.

    Args:
        in_processes: the workers are processes of their own, which can be killed.
    """
    async with world.places, AsyncExitStack() as resources:
        name = f"control_{uuid4().hex[:12]}"
        home = world.folder / name
        await asyncio.to_thread(_prepare, world, name, home)
        resources.push_async_callback(asyncio.to_thread, _drop, world, name)
        control_url = world.server.admin_url(name)
        looking = await resources.enter_async_context(
            await AsyncConnection.connect(control_url, autocommit=True, row_factory=dict_row)
        )
        door = await resources.enter_async_context(
            open_door(world.platform.url, lambda: _step(looking))
        )
        door.faults.extend(faults)
        door.first[_LOOKS_AT_KEYS] = lambda path: _lose_secret_key(world, path)
        environment = _environment(world, door, control_url, home, settings)
        installation = await resources.enter_async_context(
            open_installation(_settings(environment))
        )
        registered = await register(
            installation, email=ADMIN_EMAIL, blueprint=world.blueprint, plan="starter"
        )
        deaths = 0
        async with asyncio.timeout(_PATIENCE_SECONDS):
            if in_processes:
                deaths = await _work_in_processes(installation, registered, door, environment)
            else:
                async with at_work(installation):
                    await _until(lambda: _has_ended(installation, registered))
        seen = Provisioned(installation, environment, registered, door, deaths)
        try:
            yield seen
        finally:
            await asyncio.to_thread(_delete_projects, world, await _database_id(seen))


def _environment(
    world: World, door: Door, control_url: str, home: Path, settings: Mapping[str, object]
) -> dict[str, str]:
    return {
        "GHOSTCRM_HOME": str(home),
        "GHOSTCRM_DATABASE_URL": control_url,
        "GHOSTCRM_PROVIDER": "supabase",
        "SUPABASE_API_URL": door.url,
        "SUPABASE_ACCESS_TOKEN": world.platform.token,
        "SUPABASE_ORGANIZATION_SLUG": world.organization,
        "GHOSTCRM_RETRY_FIRST_WAIT_SECONDS": "0.05",
        # Several faults meet one step here; how many attempts each may cost, is judged.
        "GHOSTCRM_MAX_ATTEMPTS": "20",
        # A worker that stands still is taken for dead here and there, beside those that are killed.
        "GHOSTCRM_MAX_WORKER_DEATHS": "100",
        "GHOSTCRM_SUPABASE_REQUEST_SECONDS": "30",
        # So that whatever a provisioning may ask for is asked for.
        "GHOSTCRM_SUPABASE_SITE_URL": "https://crm.example.com",
        "GHOSTCRM_SUPABASE_ALLOWED_NETWORKS": "127.0.0.0/8",
        "GHOSTCRM_SUPABASE_LARGEST_FILES": "starter=60MB professional=70MB",
    } | {f"GHOSTCRM_{name.upper()}": str(value) for name, value in settings.items()}


def _settings(environment: dict[str, str]) -> Settings:
    with patch.dict(os.environ, environment):
        return read_settings()


def _prepare(world: World, name: str, home: Path) -> None:
    with world.server.superuser() as superuser:
        create_database(superuser, name, owner=ADMIN, template=world.prepared.database)
    shutil.copytree(world.prepared.keys, home / "keys")


def _drop(world: World, name: str) -> None:
    statement = sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
    until = time.monotonic() + _DROP_PATIENCE_SECONDS
    with world.server.superuser() as superuser:
        while True:
            try:
                superuser.execute(statement)
            except psycopg.errors.ObjectInUse:
                # PostgreSQL waits five seconds for the sessions that it has ended.
                if time.monotonic() > until:
                    raise
            else:
                return


async def _step(looking: AsyncConnection[Any]) -> str:
    """The step that is running."""
    rows = await (
        await looking.execute(
            "select name from ghostcrm.steps where status = 'running' order by position"
        )
    ).fetchall()
    return ",".join(row["name"] for row in rows) or "none"


async def _lose_secret_key(world: World, path: str) -> None:
    """A project need not have one when it is new; then it is made."""
    async with _caller(world) as caller:
        for key in (await caller.get(path.split("?", maxsplit=1)[0])).json():
            if key["type"] == "secret":
                answer = await caller.delete(f"{path.split('?', maxsplit=1)[0]}/{key['id']}")
                answer.raise_for_status()


def _caller(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=_NO_TLS,
        base_url=world.platform.url,
        headers={"Authorization": f"Bearer {world.platform.token}"},
        timeout=120,
    )


async def _has_ended(installation: Installation, registered: Registered) -> bool:
    return (await find_run(installation, registered.run_id))["status"] in {"succeeded", "failed"}


async def _until(look: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await look():
            return
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)


# --- workers that can be killed -------------------------------------------------------------------


def _work(environment: dict[str, str]) -> None:
    """What a process of its own does: it is a standing worker, until it is killed."""

    async def work() -> None:
        async with open_installation(read_settings()) as installation:
            await installation.make_worker(standing=True).run()

    os.environ.update(environment)
    asyncio.run(work())


async def _work_in_processes(
    installation: Installation, registered: Registered, door: Door, environment: dict[str, str]
) -> int:
    """One after the other, until the run has ended; how many were killed on the way."""
    return await in_processes(
        lambda: FORKED.Process(target=_work, args=(environment,)),
        door,
        lambda: _has_ended(installation, registered),
    )


async def live_in_processes(seen: Provisioned, operation: str) -> int:
    """The operation, by one process after the other; how many were killed on the way."""
    arguments = (seen.environment, seen.registered.client_id, operation)
    return await in_processes(
        lambda: FORKED.Process(target=in_a_process, args=arguments), seen.door, _not_by_itself
    )


async def _not_by_itself() -> bool:
    return False


async def in_processes(
    make: Callable[[], ForkServerProcess], door: Door, is_over: Callable[[], Awaitable[bool]]
) -> int:
    """Processes, one after the other when one is killed, until it is over or one has ended in good order;
    how many were killed."""
    deaths = 0
    while True:
        process = make()
        process.start()
        door.kill = process.kill
        try:
            await _until(lambda: _is_over(process, is_over))  # noqa: B023
            if process.is_alive() or process.exitcode == 0:
                return deaths
            assert process.exitcode == -signal.SIGKILL, process.exitcode
            deaths += 1
        finally:
            process.kill()
            await asyncio.to_thread(process.join, 120)
            process.close()


async def _is_over(process: ForkServerProcess, otherwise: Callable[[], Awaitable[bool]]) -> bool:
    return not process.is_alive() or await otherwise()


# --- what came of it ------------------------------------------------------------------------------


async def judge_run(world: World, seen: Provisioned) -> None:
    """Raises AssertionError when anything is not as after a run that nothing disturbed."""
    about = f"{[str(each) for each in seen.door.faults]}"
    run = await find_run(seen.installation, seen.registered.run_id)
    attempts = await seen.attempts()
    assert run["client_status"] == "ready", (about, run["error"], attempts)
    for fault in seen.door.faults:
        # How often a project is looked at until it runs, differs: there may have been no second time.
        is_left_out = fault.call.step == "acquire_database" and (
            1 <= seen.door.counts[fault.call] < fault.occasion
        )
        assert fault.met or is_left_out, (about, f"never met: {fault}")
    for step, number, _ in attempts:
        met = [each for each in seen.door.faults if each.call.step == step]
        most = attempts_of(met) + seen.door.given_up[step]
        assert number <= most, (about, step, most, attempts)
    assert seen.deaths == sum(each.kind in KILLING for each in seen.door.faults), about
    untried = set(seen.door.calls) - set(CALLS) - set(AFTER_A_DEATH)
    assert not untried, (about, [str(each) for each in untried])
    await judge_client(world, seen, about)


async def judge_client(world: World, seen: Provisioned, about: str) -> None:
    """Raises AssertionError when the client is not ready, or not with one of everything."""
    project = await _the_project(world, seen, about)
    async with seen.installation.control.connection() as control:
        client = await find_client(control, seen.registered.client_id)
        credentials, password_hash = await open_secrets(control, seen.installation.sealer, client)
    assert (client.status, password_hash) == ("ready", None), about
    sealed = credentials.services
    assert sealed is not None
    async with _caller(world) as caller:
        keys = (await caller.get(f"/v1/projects/{project['ref']}/api-keys?reveal=true")).json()
    newer = sorted((key["type"], key["api_key"]) for key in keys if key["type"] != "legacy")
    assert newer == [("publishable", sealed["publishable"]), ("secret", sealed["secret"])], about
    await _judge_services(world, project["ref"], sealed, about)
    connection = await connect_to(
        seen.installation, client.id, role="app", requested_by="test", reason="test"
    )
    async with await AsyncConnection.connect(connection.database_url) as application:
        row = await (await application.execute("select count(*) from public.things")).fetchone()
        assert row == (0,), about


async def lower_largest_file(world: World, seen: Provisioned) -> None:
    """The project's limit, which is raised when a plan needs it, and never lowered by us."""
    async with _caller(world) as caller:
        (project,) = await _projects(caller, world, await _database_id(seen))
        answer = await caller.patch(
            f"/v1/projects/{project['ref']}/config/storage", json={"fileSizeLimit": 1000}
        )
        answer.raise_for_status()


async def statuses(world: World, seen: Provisioned) -> list[str]:
    """Of the projects that there are for the client."""
    async with _caller(world) as caller:
        found = await _projects(caller, world, await _database_id(seen))
    return [each["status"] for each in found]


async def _judge_services(world: World, ref: str, sealed: dict[str, Any], about: str) -> None:
    url = f"{world.platform.url}/project/{ref}"
    assert sealed["url"].endswith(f"/project/{ref}")
    secret = {"apikey": sealed["secret"]}
    async with httpx.AsyncClient(base_url=url, verify=_NO_TLS, timeout=120) as api:
        users = (await api.get("/auth/v1/admin/users", headers=secret)).json()["users"]
        assert [each["email"] for each in users] == [ADMIN_EMAIL], about
        signed_in = await api.post(
            "/auth/v1/token?grant_type=password",
            json={"email": ADMIN_EMAIL, "password": PASSWORD},
            headers={"apikey": sealed["publishable"]},
        )
        assert signed_in.status_code == 200, (about, signed_in.text)
        buckets = (await api.get("/storage/v1/bucket", headers=secret)).json()
        found = [(each["id"], each["public"], each["file_size_limit"]) for each in buckets]
        assert found == [BUCKET], about


async def _the_project(world: World, seen: Provisioned, about: str) -> dict[str, Any]:
    database_id = await _database_id(seen)
    async with _caller(world) as caller:
        found = await _projects(caller, world, database_id)
    assert len(found) == 1, (about, found)
    assert found[0]["status"] == "ACTIVE_HEALTHY", (about, found)
    return found[0]


async def _projects(
    caller: httpx.AsyncClient, world: World, database_id: UUID
) -> list[dict[str, Any]]:
    answer = await caller.get(
        f"/v1/organizations/{world.organization}/projects",
        params={"search": database_id.hex, "limit": "100"},
    )
    found: list[dict[str, Any]] = answer.json()["projects"]
    return [each for each in found if each["status"] != "REMOVED"]


async def _database_id(seen: Provisioned) -> UUID:
    async with seen.installation.control.connection() as control:
        return (await find_client(control, seen.registered.client_id)).database_id


def _delete_projects(world: World, database_id: UUID) -> None:
    """So that not all of them are there at the end."""
    with world.platform.caller() as caller, suppress(httpx.HTTPError):
        answer = caller.get(
            f"/v1/organizations/{world.organization}/projects", params={"search": database_id.hex}
        )
        for each in answer.json()["projects"]:
            caller.delete(f"/v1/projects/{each['ref']}")
