"""Promise 1: kill any process at any instant, and every registration still ends ready exactly once,
or failed with a reason."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ghostcrm_provisioning
from ghostcrm_provisioning.client_database.roles import LOGIN_ROLES
from ghostcrm_provisioning.wiring import Installation
from tests.command import COMMAND, ghostcrm, start
from tests.conftest import OpenInstallation, Server

# Each ends long before; a slow machine has its time.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SHIPPED = Path(ghostcrm_provisioning.__file__).parent / "blueprints" / "ghostcrm"
_REGISTER_MANY = """
import asyncio, sys
from ghostcrm_provisioning.registration import on_client_registration
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.wiring import open_installation

async def main(process, count):
    async with open_installation(read_settings()) as installation:
        await asyncio.gather(*(
            on_client_registration(
                company_name=f"Company {process}-{number}",
                admin_email=f"admin{process}-{number}@example.com",
                admin_password="secure-password",
                plan=("starter", "professional", "enterprise")[number % 3],
                installation=installation,
            )
            for number in range(count)
        ))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def quickly_proven(tmp_path: Path) -> Path:
    """The shipped blueprint without its access matrix: each of these installations is new and builds its
    own template, and whether every cell of the matrix holds is no question of theirs."""
    folder = tmp_path / "quickly-proven"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("access"))
    return folder


async def _statuses(installation: Installation) -> dict[str, int]:
    rows = await installation.control.fetch_all(
        "select status::text, count(*) as clients from clients group by status"
    )
    return {row["status"]: row["clients"] for row in rows}


async def _wait_until(
    installation: Installation, is_so: Callable[[dict[str, int]], bool], seconds: float
) -> dict[str, int]:
    deadline = time.monotonic() + seconds
    while True:
        statuses = await _statuses(installation)
        if is_so(statuses):
            return statuses
        assert time.monotonic() < deadline, f"still {statuses} after {seconds} s"
        await asyncio.sleep(0.05)


@pytest.mark.new_installation
async def test_fifty_registrations_survive_the_killing_of_a_worker(
    opened: OpenInstallation,
    environment: Callable[..., dict[str, str]],
    server: Server,
    quickly_proven: Path,
) -> None:
    variables = environment(blueprint=quickly_proven, lease_seconds=2)
    installation = await opened(blueprint=quickly_proven, lease_seconds=2)
    workers = [start("worker", environment=variables) for _ in range(2)]
    registering = [
        subprocess.Popen(
            [COMMAND[0], "-c", _REGISTER_MANY, str(process), str(count)], env=variables
        )
        for process, count in enumerate((13, 13, 12, 12))
    ]
    try:
        for process in registering:
            assert await asyncio.to_thread(process.wait, 300) == 0
        await _wait_until(installation, lambda seen: seen.get("ready", 0) >= 15, 300)
        workers[0].send_signal(signal.SIGKILL)
        await _until_all_is_ready(installation, 50)
    finally:
        workers[1].send_signal(signal.SIGTERM)
        for worker in workers:
            await asyncio.to_thread(worker.communicate, timeout=120)
    assert workers[1].returncode == 0
    await _assert_each_was_made_once(installation, server, clients=50)


@pytest.mark.new_installation
async def test_workers_that_are_killed_again_and_again_lose_nothing(
    opened: OpenInstallation,
    environment: Callable[..., dict[str, str]],
    server: Server,
    quickly_proven: Path,
) -> None:
    """Workers die at random instants, eight times; then one is left in peace."""
    variables = environment(blueprint=quickly_proven, lease_seconds=1, max_worker_deaths=20)
    installation = await opened(blueprint=quickly_proven, lease_seconds=1, max_worker_deaths=20)
    registering = subprocess.run(
        [COMMAND[0], "-c", _REGISTER_MANY, "0", "12"], env=variables, check=False
    )
    assert registering.returncode == 0
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(8):
        worker = start("worker", environment=variables)
        before = await _statuses(installation)
        # From the first moment that it has taken something up, at an instant of its work.
        deadline = time.monotonic() + 20
        while await _statuses(installation) == before and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            if before == {"ready": 12}:
                break
        await asyncio.sleep(chance.uniform(0, 0.15))
        worker.kill()
        await asyncio.to_thread(worker.communicate)
    worker = start("worker", environment=variables)
    try:
        await _until_all_is_ready(installation, 12)
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.communicate, timeout=120)
    await _assert_each_was_made_once(installation, server, clients=12)


async def _assert_each_was_made_once(
    installation: Installation, server: Server, *, clients: int
) -> None:
    rows = await installation.control.fetch_all(
        "select d.name, a.user_id, a.email, a.password_hash_sealed is null as is_erased"
        " from client_databases d join client_admins a using (client_id)"
    )
    assert len({row["name"] for row in rows}) == clients
    assert all(row["is_erased"] for row in rows)
    with server.superuser() as connection:
        # Stamped with this installation's id: whatever it has made on this server.
        made = connection.execute(
            "select datname from pg_database"
            " where shobj_description(oid, 'pg_database') like '%%' || %s || '%%'"
            " and datname not like 'ghostcrm_template_%%'",
            (str(installation.id),),
        ).fetchall()
        assert {row["datname"] for row in made} == {row["name"] for row in rows}
        logins = connection.execute(
            "select count(*) as logins from pg_roles where rolname ~ '^ghostcrm_[0-9a-f]{32}_'"
            " and substr(rolname, 1, 41) = any(%s)",
            ([row["name"] for row in rows],),
        ).fetchone()
    assert logins == {"logins": len(LOGIN_ROLES) * clients}
    for row in rows:
        with server.superuser(row["name"]) as inside:
            users = inside.execute("select id, email from auth.users").fetchall()
            owners = inside.execute("select id, role_key from public.profiles").fetchall()
            stamp = inside.execute(
                "select count(*) as stamps from ghostcrm_provisioning.stamp"
            ).fetchone()
        assert users == [{"id": row["user_id"], "email": row["email"]}]
        assert owners == [{"id": row["user_id"], "role_key": "owner"}]
        assert stamp == {"stamps": 1}


async def _until_all_is_ready(installation: Installation, clients: int) -> None:
    """All clients are ready, their runs have succeeded, and no job is left over; which takes a worker
    that lives: the jobs are written off in batches."""
    await _wait_until(installation, lambda seen: seen == {"ready": clients}, 300)
    deadline = time.monotonic() + 120
    while True:
        left = await installation.control.fetch_one(
            "select (select count(*) from runs where status <> 'succeeded') as runs,"
            " (select count(*) from ghostcrm_queue.jobs) as jobs"
        )
        if left == {"runs": 0, "jobs": 0}:
            return
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.05)


async def test_the_same_registration_from_two_processes_at_once_is_one_client(
    environment: Callable[..., dict[str, str]], opened: OpenInstallation
) -> None:
    variables = environment()
    installation = await opened()
    arguments = ("provision", "ACME Corp", "--admin-email", "admin@acme.com", "--json")
    processes = [start(*arguments, environment=variables) for _ in range(2)]
    documents = []
    for process in processes:
        stdout, stderr = await asyncio.to_thread(process.communicate, timeout=300)
        assert process.returncode == 0, stderr
        documents.append(json.loads(stdout))
    assert documents[0]["id"] == documents[1]["id"]
    passwords = [document["admin"].get("temporaryPassword") for document in documents]
    assert passwords.count(None) == 1, "only the one who registered first is told the password"
    assert await _statuses(installation) == {"ready": 1}


@pytest.mark.new_installation
async def test_a_cut_connection_is_only_a_delay(
    opened: OpenInstallation,
    environment: Callable[..., dict[str, str]],
    server: Server,
    quickly_proven: Path,
) -> None:
    """Every connection of a worker is cut, many times, while it works."""
    variables = environment(blueprint=quickly_proven, lease_seconds=1, max_attempts=20)
    installation = await opened(blueprint=quickly_proven, lease_seconds=1)
    assert subprocess.run(
        [COMMAND[0], "-c", _REGISTER_MANY, "0", "8"], env=variables, check=False
    ).returncode == 0  # fmt: skip
    worker = start("worker", environment=variables)
    control = installation.control.url.rpartition("/")[2]
    try:
        with server.superuser() as connection:
            for _ in range(15):
                await asyncio.sleep(0.2)
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where usename = 'provisioner' and (datname = %s or datname in ("
                    " select datname from pg_database"
                    " where shobj_description(oid, 'pg_database') like '%%' || %s || '%%'))"
                    " and application_name <> 'ghostcrm'",
                    (control, str(installation.id)),
                )
        await _until_all_is_ready(installation, 8)
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.communicate, timeout=120)
    await _assert_each_was_made_once(installation, server, clients=8)


def test_provision_without_waiting_is_taken_up_by_the_next_command(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    accepted = ghostcrm(
        "provision", "ACME", "--admin-email", "a@acme.com", "--no-wait", "--json",
        environment=variables,
    )  # fmt: skip
    assert accepted.code == 0
    assert accepted.document["status"] == "registered"
    assert "No workers are running" in accepted.stderr
    explained = ghostcrm(
        "clients", "explain", accepted.document["id"], "--json", environment=variables
    )
    assert explained.document["code"] == "no_workers"
    other = ghostcrm(
        "provision", "Other", "--admin-email", "a@acme.com", "--json", environment=variables
    )
    assert other.code == 0, other.stderr
    shown = ghostcrm("clients", "show", accepted.document["id"], "--json", environment=variables)
    assert shown.document["status"] == "ready"
