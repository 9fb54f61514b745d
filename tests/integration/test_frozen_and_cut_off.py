"""A worker that is frozen in mid-write, and a command whose control database goes away."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.wiring import Installation
from tests.command import start
from tests.conftest import Server
from tests.integration.control import fetch, register
from tests.integration.processes import Processes
from tests.integration.small_blueprint import write_small_blueprint
from tests.integration.waiting import eventually

Environment = Callable[..., dict[str, str]]


async def _answer(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    """Send a line; returns the next one that the process prints."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    return await asyncio.to_thread(process.stdout.readline)


@pytest.mark.long
async def test_a_worker_that_is_frozen_in_mid_write_keeps_its_run_from_others_for_seconds_only(
    installation: Installation, environment: Environment, processes: Processes
) -> None:
    registered = await register(installation)
    frozen = processes.start(
        [sys.executable, "-m", "tests.integration.another_process", "hold", str(registered.run_id)],
        environment(),
        dialogue=True,
    )
    assert await _answer(frozen, b"") == b"ready\n", processes.complaints()
    assert await _answer(frozen, b"go\n") == b"holding\n", processes.complaints()
    frozen.send_signal(signal.SIGSTOP)
    async with installation.control.connection() as connection:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await connection.execute("select from runs for update nowait")

    # The server ends a transaction that says nothing for ten seconds; after thirty, whoever waits for a
    # lock gives up, and this would fail.
    async with installation.control.connection() as own:
        held = await HeldRun.take_up(installation.control, own, registered.run_id, uuid4())
    assert held is not None
    assert held.run.fence == 2, "its successor has the run"

    frozen.send_signal(signal.SIGCONT)
    output, _ = await asyncio.to_thread(frozen.communicate, b"go on\n", timeout=60)
    assert "error" in json.loads(output), "it woke up and found that it has lost the connection"
    assert (await fetch(installation, "select name from clients"))["name"] == "ACME Corp"


@pytest.mark.long
async def test_a_command_whose_control_database_goes_away_leaves(
    environment: Environment, tmp_path: Path, server: Server
) -> None:
    """It does not wait for what its worker has in hand: another one will take that up."""
    own = uuid4().hex  # known by it among those of other tests
    slow = write_small_blueprint(
        tmp_path / "slow", _002_slow=f"select pg_sleep(600), '{own}' as whose;\n"
    )
    variables = environment(blueprint=slow, step_deadline_seconds=600)
    name = variables["GHOSTCRM_DATABASE_URL"].rpartition("/")[2]
    process = start(
        "provision", "ACME Corp", "--admin-email", "admin@acme.com", "--json", environment=variables
    )
    try:
        with server.superuser() as superuser:

            async def is_in_the_migration() -> bool:
                return bool(
                    superuser.execute(
                        "select from pg_stat_activity where datname like 'ghostcrm_template_%%'"
                        " and state = 'active' and query like %s",
                        (f"%pg_sleep(600)%{own}%",),
                    ).fetchall()
                )

            await eventually(is_in_the_migration, what="the command's worker is in mid-step")
            superuser.execute(f'alter database "{name}" allow_connections false'.encode())
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
            )
        # It gives the worker ten seconds. The migration would be broken off after sixty, by the
        # statement_timeout.
        stdout, stderr = await asyncio.to_thread(process.communicate, timeout=55)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 1, stderr
    assert json.loads(stdout)["error"]["nextStep"]
    assert "Traceback" not in stderr
