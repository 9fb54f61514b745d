"""Whatever is killed, the next start mends it, and touches nothing that is not ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from ghostcrm_provisioning.embedded import EmbeddedPostgres
from ghostcrm_provisioning.errors import EmbeddedPostgresError

Make = Callable[..., EmbeddedPostgres]
Command = Callable[..., list[str]]
Eventually = Callable[[Callable[[], object]], None]


def test_a_killed_server_is_started_again_with_its_data(
    tmp_path: Path, make_postgres: Make
) -> None:
    postgres = make_postgres(tmp_path / "home")
    before = postgres.start()
    with psycopg.connect(before.url()) as connection:
        connection.execute("create table kept as select 42 as answer")
    os.kill(before.pid, signal.SIGKILL)
    after = postgres.start()
    assert after.pid != before.pid
    with psycopg.connect(after.url()) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_a_busy_session_of_a_killed_server_does_not_keep_the_next_from_starting(
    tmp_path: Path, make_postgres: Make, eventually: Eventually
) -> None:
    postgres = make_postgres(tmp_path / "home")
    before = postgres.start()
    with contextlib.closing(psycopg.connect(before.url())) as busy:
        session = psutil.Process(busy.info.backend_pid)
        # It never waits, so it does not notice by itself that its server is gone.
        busy.pgconn.send_query(b"do $$ begin loop end loop; end $$")
        eventually(lambda: session.cpu_times().user > 0.05)
        os.kill(before.pid, signal.SIGKILL)
        assert postgres.start().pid != before.pid
        assert not session.is_running() or session.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("victim", ["initdb", "starter"])
def test_a_start_that_was_killed_while_it_made_the_data_is_done_again(
    tmp_path: Path,
    make_postgres: Make,
    starting_process: Command,
    eventually: Eventually,
    victim: str,
) -> None:
    # Should it have been too late, it is done again somewhere else.
    for home in (tmp_path / f"home {number}" for number in range(20)):
        unfinished = home / "postgresql" / "data.initializing"
        postgres = make_postgres(home)
        with subprocess.Popen(
            starting_process(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as starter:
            began, ended = (unfinished / "base").exists, starter.poll
            eventually(lambda began=began, ended=ended: began() or ended() is not None)  # type: ignore[misc]
            if victim == "starter":
                starter.kill()  # initdb goes on, for nobody
            else:
                with contextlib.suppress(psutil.NoSuchProcess):
                    for child in psutil.Process(starter.pid).children():
                        with contextlib.suppress(psutil.NoSuchProcess):
                            child.kill()
            assert starter.stderr is not None
            complaint = starter.stderr.read()
        if starter.returncode != 0:
            break
    assert starter.returncode != 0
    assert "Traceback" not in complaint

    postgres.start()
    assert not unfinished.exists()
    assert not (home / "postgresql" / "password.initializing").exists()


def test_a_pid_file_whose_pid_is_another_programs_by_now_is_removed_and_that_program_left_alone(
    tmp_path: Path, make_postgres: Make
) -> None:
    home = tmp_path / "home"
    postgres = make_postgres(home)
    postgres.start()
    data = home / "postgresql" / "data"
    pid_file = (data / "postmaster.pid").read_text().splitlines()
    assert postgres.stop()
    owner = data.stat()
    root = os.geteuid() == 0
    with subprocess.Popen(
        ["sleep", "600"],
        user=owner.st_uid if root else None,
        group=owner.st_gid if root else None,
        cwd="/",
    ) as other:
        try:
            (data / "postmaster.pid").write_text("\n".join([str(other.pid), *pid_file[1:], ""]))
            os.chown(data / "postmaster.pid", owner.st_uid, owner.st_gid)
            assert postgres.status() is None
            assert not postgres.stop()
            running = postgres.start()
            assert running.pid != other.pid
            assert postgres.stop()
            assert other.poll() is None
        finally:
            other.kill()


def test_a_home_that_was_moved_while_its_server_ran_is_said_to_be_and_can_be_stopped(
    tmp_path: Path, make_postgres: Make
) -> None:
    make_postgres(tmp_path / "home").start()
    moved = make_postgres((tmp_path / "home").rename(tmp_path / "moved"))
    with pytest.raises(EmbeddedPostgresError, match="was moved while it ran"):
        moved.start()
    assert moved.stop()
    moved.start()


def test_a_copied_home_gets_a_server_of_its_own(tmp_path: Path, make_postgres: Make) -> None:
    original = make_postgres(tmp_path / "original")
    before = original.start()
    # As `cp -r` by root does it: the copy carries the pid file, port and password of the original.
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    copy = make_postgres(tmp_path / "copy")
    assert copy.status() is None
    assert not copy.stop()
    running = copy.start()
    assert running.pid != before.pid
    assert running.port != before.port
    assert original.status() == before
