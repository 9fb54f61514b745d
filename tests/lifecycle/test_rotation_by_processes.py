"""Credentials are exchanged by the command, by the API and by workers that are killed; secrets stay secret."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict

from ghostcrm_provisioning.client_database.roles import login_role
from ghostcrm_provisioning.clients.credentials import Credentials
from ghostcrm_provisioning.errors import ToldToWait
from ghostcrm_provisioning.provisioning.rotate_credentials import ROTATE_CREDENTIALS
from ghostcrm_provisioning.provisioning.work import login_of, open_secrets
from tests.acceptance.test_secrets_stay_secret import _everything_in as everything_in
from tests.command import ghostcrm
from tests.integration.control import find_run
from tests.integration.processes import Processes
from tests.integration.waiting import eventually
from tests.lifecycle.lives import Life, carry_out, is_let_in
from tests.lifecycle.test_dying_workers import taken_up
from tests.lifecycle.test_rotation import (
    ask,
    connections,
    nothing_is_pending,
    see_that_it_is_exchanged,
)

pytestmark = pytest.mark.long


async def sealed(life: Life) -> Credentials:
    async with life.installation.control.connection() as connection:
        credentials, _ = await open_secrets(
            connection, life.installation.sealer, await life.client()
        )
    return credentials


@pytest.mark.timeout(900)  # a whole life for every step
async def test_a_worker_that_dies_between_two_passwords(life: Life) -> None:
    before = await connections(life)
    logins = ["app", "owner"] if life.is_supabase else list(before)
    for done in range(len(logins) + 1):
        before = await connections(life)
        accepted = await ask(life)
        async with taken_up(life, accepted.run_id, ROTATE_CREDENTIALS) as work:
            await work.held.start_step(1)
            if not (await ROTATE_CREDENTIALS.steps[0].observe(work)).holds:
                await ROTATE_CREDENTIALS.steps[0].make(work)
            await work.held.start_step(2, finished=(1, "made"))
            credentials = await sealed(life)
            for key in logins[:done]:
                if key not in await work.provider.enabled_logins(work.request):
                    continue
                login = login_of(login_role(key), password=credentials.password_to_set(key))
                with contextlib.suppress(ToldToWait):
                    await work.provider.set_password(work.request, login)
        for role, connection in (await connections(life)).items():
            assert await is_let_in(connection.database_url), (done, role)
        run = await carry_out(life.installation, accepted.run_id)
        assert run["status"] == "succeeded", run["error"]
        await see_that_it_is_exchanged(life, before, await connections(life))


async def kill_with_sessions(life: Life, worker: subprocess.Popen[bytes]) -> None:
    """Until the server has ended its sessions as well: what one of them had begun, it may have finished."""
    worker.send_signal(signal.SIGSTOP)
    process = psutil.Process(worker.pid)

    async def stands_still() -> bool:
        return bool(process.status() == psutil.STATUS_STOPPED)

    await eventually(stands_still, what="it has stopped")
    ports = [each.laddr.port for each in process.net_connections(kind="tcp")]
    worker.kill()
    await asyncio.to_thread(worker.wait)

    async def are_gone() -> bool:
        asked = "select from pg_stat_activity where client_port = any(%s)"
        with life.server.superuser() as superuser:
            return not superuser.execute(asked, (ports,)).fetchall()

    await eventually(are_gone, what="its sessions have ended")


@pytest.mark.parametrize("milliseconds", [0, 20, 40, 60, 90, 130, 180, 250, 400])
async def test_a_worker_that_is_killed_is_replaced(
    on_postgres: Life,
    environment: Callable[..., dict[str, str]],
    processes: Processes,
    milliseconds: int,
) -> None:
    life = on_postgres
    variables = environment(blueprint=life.installation.settings.blueprint, lease_seconds=1)
    before = await connections(life)
    accepted = await ask(life)
    worker = processes.start_worker(variables)

    async def is_taken_up() -> bool:
        return bool((await find_run(life.installation, accepted.run_id))["status"] != "queued")

    await eventually(is_taken_up, what="a worker has taken it up")
    await asyncio.sleep(milliseconds / 1000)  # where it is then, is left to chance
    await kill_with_sessions(life, worker)
    for role, connection in (await connections(life)).items():
        assert await is_let_in(connection.database_url), role
    processes.start_worker(variables)

    async def is_done() -> bool:
        return bool((await find_run(life.installation, accepted.run_id))["status"] == "succeeded")

    await eventually(is_done, what="another worker has done it")
    await see_that_it_is_exchanged(life, before, await connections(life))
    assert await nothing_is_pending(life)


async def test_the_command_says_what_was_done_and_shows_no_secret(
    life: Life,
    environment: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more: dict[str, Any] = {"provider": "supabase"} if life.is_supabase else {}
    variables = environment(
        blueprint=life.installation.settings.blueprint,
        home=life.installation.settings.home,
        **more,
    )
    old = await sealed(life)
    before = await connections(life)
    command = ("clients", "rotate", str(life.id), "--reason", "somebody has left", "--json")
    outcome = await asyncio.to_thread(ghostcrm, *command, environment=variables)
    assert outcome.code == 0, outcome.stderr
    document = outcome.document
    assert document["changed"] is True
    assert document["rotation"] == {
        "number": 1, "passwords": True, "keys": True, "legacyKeys": False, "endSessions": False,
        "replaced": True, "retired": True, "keysLeft": [],
    }  # fmt: skip
    after = await connections(life)
    await see_that_it_is_exchanged(life, before, after)
    new = await sealed(life)
    secrets = {
        *old.passwords.values(), *new.passwords.values(), old.jwt_secret, new.jwt_secret,
        *(each.anon_key for each in (*before.values(), *after.values())),
        *(each.service_role_key for each in (*before.values(), *after.values())),
    }  # fmt: skip
    seen = outcome.stdout + outcome.stderr
    for log in life.installation.settings.home.rglob("*.log"):
        seen += log.read_text()
    seen += everything_in(life.installation.control.url)
    assert "client_credentials_rotated" in seen
    assert [secret for secret in secrets if secret in seen] == []
    bad = await asyncio.to_thread(
        ghostcrm, "clients", "rotate", str(life.id), "--keys", "--end-sessions",
        environment=variables,
    )  # fmt: skip
    assert bad.code == 2, bad.stderr
    assert str(conninfo_to_dict(after["owner"].database_url)["password"]) not in bad.stderr
