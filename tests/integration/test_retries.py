"""What happens when a step fails: tried again, told to wait, given up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.client_database.roles import prepare_server
from ghostcrm_provisioning.clients.run import HeldRun
from ghostcrm_provisioning.embedded import EmbeddedPostgres
from ghostcrm_provisioning.explanation import explain
from ghostcrm_provisioning.providers import postgres_server
from ghostcrm_provisioning.providers.postgres import PostgresProvider
from ghostcrm_provisioning.providers.postgres_server import POSTGRES
from ghostcrm_provisioning.provisioning.client_database_provisioner import (
    ClientDatabaseProvisioner,
)
from ghostcrm_provisioning.provisioning.retry import RetryPolicy
from ghostcrm_provisioning.provisioning.work import template_of
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation
from tests.integration.control import (
    are_ready,
    at_work,
    fetch,
    find_run,
    list_attempts,
    register,
)
from tests.integration.small_blueprint import (
    plan_that_fails_at_first,
    raising,
    write_small_blueprint,
)
from tests.integration.test_provisioning_log import read_log
from tests.integration.waiting import eventually


async def _has_failed(installation: Installation, run_id: UUID) -> bool:
    return bool((await find_run(installation, run_id))["status"] == "failed")


@pytest.mark.long
@pytest.mark.parametrize("sqlstate", ["40001", "55P03", "53200"])
async def test_what_may_pass_is_tried_as_often_as_is_set_with_growing_waits(
    opened: OpenInstallation, tmp_path: Path, sqlstate: str
) -> None:
    blueprint = write_small_blueprint(tmp_path / "busy", _002_busy=raising(sqlstate))
    installation = await opened(blueprint=blueprint, max_attempts=4, retry_first_wait_seconds=0.2)
    registered = await register(installation)
    async with at_work(installation):
        await eventually(
            lambda: _has_failed(installation, registered.run_id), what="it is given up"
        )
    assert await list_attempts(installation, registered.run_id) == [
        ("acquire_database", number, "failed") for number in (1, 2, 3, 4)
    ]
    rows = await installation.control.fetch_all(
        "select started_at, finished_at, error from step_attempts order by started_at"
    )
    waits = [
        (later["started_at"] - earlier["finished_at"]).total_seconds()
        for earlier, later in pairwise(rows)
    ]
    # Between half and the whole of 0.2, 0.4 and 0.8 s; what the queue adds to what was decided is as it may be.
    decided = [
        line["waitSeconds"] for line in read_log(installation) if line["event"] == "step_postponed"
    ]
    for wait, meant, whole in zip(waits, decided, (0.2, 0.4, 0.8), strict=True):
        assert wait >= whole / 2
        assert whole / 2 <= meant <= whole
    run = await find_run(installation, registered.run_id)
    assert run["client_status"] == "failed"
    assert run["error"]["code"] == "database_busy"
    assert run["error"]["details"]["sqlstate"] == sqlstate
    assert run["error"]["retryable"] is True
    assert {row["error"]["code"] for row in rows} == {"database_busy"}
    explanation = await explain(
        installation.control, registered.client_id, lease_seconds=6, max_attempts=4
    )
    assert "as ordered" in str(explanation)
    assert sqlstate in str(explanation)


async def test_what_will_not_pass_is_tried_once(opened: OpenInstallation, tmp_path: Path) -> None:
    blueprint = write_small_blueprint(tmp_path / "broken", _002_broken="select 1/0;\n")
    installation = await opened(blueprint=blueprint)
    registered = await register(installation)
    assert await installation.provisioner.carry_out(registered.run_id, uuid4()) is None
    assert await list_attempts(installation, registered.run_id) == [
        ("acquire_database", 1, "failed")
    ]
    error = (await find_run(installation, registered.run_id))["error"]
    assert (error["code"], error["retryable"]) == ("migration_failed", False)
    assert error["details"]["file"] == "002_broken.sql"
    assert error["details"]["line"] == 1
    assert error["details"]["sqlstate"] == "22012"


@pytest.mark.long
async def test_a_run_goes_on_at_the_step_that_failed(
    opened: OpenInstallation, tmp_path: Path
) -> None:
    blueprint = write_small_blueprint(tmp_path / "slow", _002_plan=plan_that_fails_at_first(2))
    installation = await opened(blueprint=blueprint)
    registered = await register(installation)
    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 1), what="it is ready")
    assert await list_attempts(installation, registered.run_id) == [
        ("acquire_database", 1, "done"),
        ("install_blueprint", 1, "done"),
        ("create_admin", 1, "done"),
        ("apply_plan_settings", 1, "failed"),
        ("apply_plan_settings", 2, "failed"),
        ("apply_plan_settings", 3, "done"),
        ("prove_isolation", 1, "done"),
        ("hand_over", 1, "done"),
    ]
    rows = await installation.control.fetch_all(
        "select name, status::text, attempt, error from steps order by position"
    )
    assert {row["status"] for row in rows} == {"done"}
    assert [row["attempt"] for row in rows] == [1, 1, 1, 3, 1, 1]
    assert [row["error"] for row in rows] == [None] * 6


@pytest.mark.long
async def test_a_retry_after_the_failure_goes_on_there_with_all_attempts_anew(
    opened: OpenInstallation, tmp_path: Path
) -> None:
    blueprint = write_small_blueprint(tmp_path / "slow", _002_plan=plan_that_fails_at_first(4))
    installation = await opened(blueprint=blueprint)
    registered = await register(installation)
    async with at_work(installation):
        await eventually(
            lambda: _has_failed(installation, registered.run_id), what="it is given up"
        )
        await installation.registrar.retry(registered.client_id, requested_by="test")
        await eventually(lambda: are_ready(installation, 1), what="it is ready")
    attempts = await list_attempts(installation, registered.run_id)
    assert [outcome for name, _, outcome in attempts if name == "apply_plan_settings"] == [
        "failed", "failed", "failed", "failed", "done",
    ]  # fmt: skip
    assert [name for name, _, _ in attempts].count("acquire_database") == 1


@pytest.mark.long
async def test_a_retry_right_after_the_failure_does_not_wait_for_a_lease(
    opened: OpenInstallation, tmp_path: Path
) -> None:
    """The job of the failed run may be on its way out of the queue at that moment."""
    blueprint = write_small_blueprint(tmp_path / "slow", _002_plan=plan_that_fails_at_first(1))
    # Whoever waits for the lease, waits for longer than a test may take.
    installation = await opened(blueprint=blueprint, max_attempts=1, lease_seconds=600)
    async with at_work(installation):
        for number in range(1, 4):
            registered = await register(installation, f"Client {number}")
            await eventually(
                lambda run_id=registered.run_id: _has_failed(installation, run_id),  # type: ignore[misc]
                what="it is given up",
            )
            await installation.registrar.retry(registered.client_id, requested_by="test")
            await eventually(
                lambda number=number: are_ready(installation, number),  # type: ignore[misc]
                what="it is ready",
            )


async def test_a_run_that_takes_its_workers_down_with_it_is_given_up(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation = await opened(blueprint=small_blueprint)
    registered = await register(installation)
    for _ in range(installation.settings.max_worker_deaths + 1):
        async with installation.control.connection() as own:
            held = await HeldRun.take_up(installation.control, own, registered.run_id, uuid4())
            assert held is not None
            await held.start_step(1)  # and then the worker is gone
    assert await installation.provisioner.carry_out(registered.run_id, uuid4()) is None
    run = await find_run(installation, registered.run_id)
    assert (run["status"], run["client_status"]) == ("failed", "failed")
    assert run["error"]["code"] == "worker_died_repeatedly"
    outcomes = [outcome for _, _, outcome in await list_attempts(installation, registered.run_id)]
    assert set(outcomes) == {"abandoned"}
    row = await fetch(installation, "select * from notifications")
    assert "died" in row["body"]

    await installation.registrar.retry(registered.client_id, requested_by="test")
    assert await installation.provisioner.carry_out(registered.run_id, uuid4()) is None
    assert await are_ready(installation, 1), "a retry counts deaths anew"


# --- a server that is coming up -----------------------------------------------------------------


class _OneServer:
    """Every client database is on this one."""

    def __init__(self, provider: PostgresProvider) -> None:
        self._provider = provider

    async def of_server(self, server_id: UUID) -> PostgresProvider:
        return self._provider


@asynccontextmanager
async def provisioning_on(
    installation: Installation, url: str, *, longest_told_to_wait: float
) -> AsyncIterator[ClientDatabaseProvisioner]:
    """The installation's provisioner, but with its client databases on another server."""
    async with PostgresProvider(url, server_name="another") as provider:
        yield ClientDatabaseProvisioner(
            installation.control,
            installation_id=installation.id,
            sealer=installation.sealer,
            providers=_OneServer(provider),
            retry=RetryPolicy(
                max_attempts=1, first_wait=0.1, longest_told_to_wait=longest_told_to_wait
            ),
            step_deadline_seconds=60,
            long_step_deadline_seconds=60,
            max_worker_deaths=5,
            on_failure=installation.notifier.run_failed,
            around=installation.provisioner.around,
        )


class ServerComingUp:
    """A real server in recovery: it answers every connection with 57P03 until it is promoted."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._data = home / "postgresql" / "data"
        self._postgres = EmbeddedPostgres(home, settings={"fsync": "off"})
        self._starting: asyncio.Task[object] | None = None

    async def prepare(self) -> str:
        """Make it and put it into recovery; returns how its superuser connects to it."""
        running = await asyncio.to_thread(self._postgres.start)
        url = running.url()
        connection = await AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
        async with connection:
            await prepare_server(connection, admin=running.user)
            await connection.execute("alter system set hot_standby = off")
        await asyncio.to_thread(self._postgres.stop)
        owner = self._data.stat()
        signal_file = self._data / "standby.signal"
        signal_file.touch()
        os.chown(signal_file, owner.st_uid, owner.st_gid)
        return url

    async def begin_to_start(self) -> None:
        self._starting = asyncio.create_task(asyncio.to_thread(self._postgres.start))

        async def waits_for_promotion() -> bool:
            log = "".join(p.read_text() for p in (self._home / "postgresql/log").iterdir())
            return log.count("entering standby mode") > 0

        await eventually(waits_for_promotion, what="the server is in recovery")

    async def finish_starting(self) -> None:
        """Returns when the server lets us in."""
        if self._starting is None:
            return
        owner = self._data.stat()
        promote_file = self._data / "promote"
        promote_file.touch()
        os.chown(promote_file, owner.st_uid, owner.st_gid)
        # What pg_ctl promote does.
        os.kill(int((self._data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGUSR1)
        await self._starting
        self._starting = None

    async def stop(self) -> None:
        await self.finish_starting()
        await asyncio.to_thread(self._postgres.stop)


@pytest.fixture
async def coming_up(tmp_path: Path) -> AsyncIterator[ServerComingUp]:
    server = ServerComingUp(tmp_path / "another server")
    yield server
    await server.stop()


@pytest.mark.long
async def test_being_told_to_wait_is_no_attempt(
    opened: OpenInstallation, small_blueprint: Path, coming_up: ServerComingUp
) -> None:
    installation = await opened(blueprint=small_blueprint)
    url = await coming_up.prepare()
    await coming_up.begin_to_start()
    registered = await register(installation)
    async with provisioning_on(installation, url, longest_told_to_wait=60) as provisioner:
        for _ in range(3):
            assert await provisioner.carry_out(registered.run_id, uuid4()) == 1.0
        run = await find_run(installation, registered.run_id)
        assert (run["status"], run["error"]["code"]) == ("waiting", "told_to_wait")
        assert (
            await list_attempts(installation, registered.run_id)
            == [("acquire_database", 1, "told_to_wait")] * 3
        )
        await coming_up.finish_starting()
        assert await provisioner.carry_out(registered.run_id, uuid4()) is None
    assert await are_ready(installation, 1)
    attempts = await list_attempts(installation, registered.run_id)
    assert attempts[3] == ("acquire_database", 1, "done")


async def test_waiting_for_a_template_that_another_builds_is_no_attempt(
    opened: OpenInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blueprint = write_small_blueprint(
        tmp_path / "new", _002_note="alter table public.things add column note text;\n"
    )
    installation = await opened(blueprint=blueprint)
    template = (
        f"ghostcrm_template_{installation.id.hex[:8]}"
        f"_{template_of(read_blueprint(str(blueprint))).fingerprint[:16]}"
    )
    registered = await register(installation)
    async with installation.control.connection() as builder:
        await builder.execute(POSTGRES["lock_template"], {"name": template})
        with monkeypatch.context() as impatient:
            impatient.setattr(postgres_server, "_LOCK_TIMEOUT", "50ms")
            for _ in range(2):
                assert await installation.provisioner.carry_out(registered.run_id, uuid4()) == 2.0
        await builder.execute(POSTGRES["unlock_template"], {"name": template})
    # Another one, whose connections wait for the locks of other tests as long as they should.
    patient = await opened(blueprint=blueprint)
    assert await patient.provisioner.carry_out(registered.run_id, uuid4()) is None
    attempts = await list_attempts(installation, registered.run_id)
    assert attempts[:3] == [
        ("acquire_database", 1, "told_to_wait"),
        ("acquire_database", 1, "told_to_wait"),
        ("acquire_database", 1, "done"),
    ]


@pytest.mark.long
async def test_being_told_to_wait_for_too_long_is_a_failure_and_a_retry_waits_anew(
    opened: OpenInstallation, small_blueprint: Path, coming_up: ServerComingUp
) -> None:
    installation = await opened(blueprint=small_blueprint)
    url = await coming_up.prepare()
    await coming_up.begin_to_start()
    registered = await register(installation)
    async with provisioning_on(installation, url, longest_told_to_wait=600) as provisioner:
        assert await provisioner.carry_out(registered.run_id, uuid4()) == 1.0
        await installation.control.execute(
            "update steps set started_at = started_at - interval '500 seconds'"
            " where started_at is not null"
        )
        assert await provisioner.carry_out(registered.run_id, uuid4()) is not None, (
            "not too long yet"
        )
        await installation.control.execute(
            "update steps set started_at = started_at - interval '200 seconds'"
            " where started_at is not null"
        )
        assert await provisioner.carry_out(registered.run_id, uuid4()) is None
        assert await _has_failed(installation, registered.run_id)
        error = (await find_run(installation, registered.run_id))["error"]
        assert error["code"] == "told_to_wait"
        await installation.registrar.retry(registered.client_id, requested_by="test")
        assert await provisioner.carry_out(registered.run_id, uuid4()) == 1.0, "it waits again"
        await coming_up.finish_starting()
        assert await provisioner.carry_out(registered.run_id, uuid4()) is None
    assert await are_ready(installation, 1)
