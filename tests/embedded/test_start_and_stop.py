"""The server starts, is shared, outlives its starter, and stops."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from ghostcrm_provisioning.embedded import EmbeddedPostgres, RunningPostgres
from ghostcrm_provisioning.errors import InvalidSetting

Make = Callable[..., EmbeddedPostgres]
Command = Callable[..., list[str]]


def test_the_first_start_makes_a_server_that_lets_the_superuser_in(
    shared_postgres: EmbeddedPostgres,
) -> None:
    running = shared_postgres.start()
    with psycopg.connect(running.url()) as connection:
        row = connection.execute(
            "select current_user::text, current_setting('server_encoding'), lower('ÄÖ'),"
            " current_setting('timezone'), current_setting('data_checksums'),"
            " current_setting('password_encryption')"
        ).fetchone()
    assert row == ("postgres", "UTF8", "äö", "UTC", "on", "scram-sha-256")


def test_it_starts_for_an_unprivileged_user(
    unprivileged_user: int,
    open_folder: Path,
    starting_process: Command,
    make_postgres: Make,
    copy_of_the_wheel: Callable[[Path], Path],
) -> None:
    home = open_folder / "home"
    programs = copy_of_the_wheel(open_folder)
    postgres = make_postgres(home, binaries=programs)
    arguments = ["--become", str(unprivileged_user), "--binaries", str(programs)]
    finished = subprocess.run(
        starting_process(home, *arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    # Root, who may see it, uses the same server, and starts it again as the one whose data it is.
    running = postgres.start()
    assert running.pid == int(finished.stdout)
    assert postgres.stop()
    assert psutil.Process(postgres.start().pid).uids().real == unprivileged_user


def test_root_runs_it_as_somebody_else(root: None, shared_postgres: EmbeddedPostgres) -> None:
    assert psutil.Process(shared_postgres.start().pid).uids().effective != 0


def test_a_second_start_reuses_the_server(shared_postgres: EmbeddedPostgres) -> None:
    assert shared_postgres.start() == shared_postgres.start() == shared_postgres.status()


def test_status_of_a_home_that_does_not_exist_is_none_and_makes_nothing(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "home")
    assert postgres.status() is None
    assert not postgres.stop()
    assert list(tmp_path.iterdir()) == []


def test_stopping_is_idempotent_and_port_password_and_data_survive(
    tmp_path: Path, make_postgres: Make
) -> None:
    postgres = make_postgres(tmp_path / "home")
    before = postgres.start()
    with psycopg.connect(before.url()) as connection:
        connection.execute("create table kept as select 42 as answer")
    assert postgres.stop() is True
    assert postgres.stop() is False
    assert postgres.status() is None

    after = postgres.start()
    assert (after.port, after.password) == (before.port, before.password)
    with psycopg.connect(after.url()) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_stopping_ends_open_sessions(tmp_path: Path, make_postgres: Make) -> None:
    postgres = make_postgres(tmp_path / "home")
    with psycopg.connect(postgres.start().url(), autocommit=True) as session:
        assert postgres.stop() is True
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")


def test_eight_processes_that_start_it_at_once_get_one_server(
    tmp_path: Path, make_postgres: Make, starting_process: Command
) -> None:
    home = tmp_path / "home"
    postgres = make_postgres(home)
    starters = [
        subprocess.Popen(starting_process(home), stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    pids = {starter.communicate(timeout=170)[0] for starter in starters}
    assert [starter.returncode for starter in starters] == [0] * 8
    running = postgres.status()
    assert running is not None
    assert pids == {f"{running.pid}\n"}


def test_a_starter_that_ends_closes_its_pipes_and_leaves_the_server_running(
    tmp_path: Path, make_postgres: Make, starting_process: Command
) -> None:
    home = tmp_path / "home"
    postgres = make_postgres(home)
    # Reads both pipes to their end: it would wait for as long as the server held one of them.
    finished = subprocess.run(
        starting_process(home), capture_output=True, text=True, timeout=150, check=True
    )
    running = postgres.status()
    assert running is not None
    assert finished.stdout == f"{running.pid}\n"


def test_control_c_in_the_terminal_of_the_starter_does_not_stop_the_server(
    tmp_path: Path, make_postgres: Make, starting_process: Command
) -> None:
    home = tmp_path / "home"
    postgres = make_postgres(home)
    with subprocess.Popen(
        starting_process(home, "--stay"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        os.killpg(starter.pid, signal.SIGINT)  # what a terminal does
        starter.wait(timeout=90)
    running = postgres.status()
    assert running is not None
    assert running.pid == pid
    assert os.getsid(pid) != starter.pid


def test_an_environment_made_for_another_server_changes_nothing(
    shared_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = shared_postgres.start()
    for name, value in {
        "PGHOSTADDR": "203.0.113.1",
        "PGPORT": "1",
        "PGOPTIONS": "-c nonsense=1",
        "PGSSLMODE": "verify-full",
        "PGCHANNELBINDING": "require",
        "PGTARGETSESSIONATTRS": "standby",
    }.items():
        monkeypatch.setenv(name, value)
    assert shared_postgres.status() == running


def test_settings_win_over_ours(tmp_path: Path, make_postgres: Make) -> None:
    value = r"it's a \ path"
    postgres = make_postgres(
        tmp_path / "home", settings={"Max_Connections": "17", "ghost.note": value}
    )
    with psycopg.connect(postgres.start().url()) as connection:
        row = connection.execute(
            "select current_setting('max_connections'), current_setting('ghost.note')"
        ).fetchone()
    assert row == ("17", value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("listen_addresses", "*"), ("PORT", "1"), ("a b", "1"), ("work_mem", "1\nport = 1")],
)
def test_settings_that_would_break_a_promise_are_refused(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(InvalidSetting):
        EmbeddedPostgres(tmp_path, settings={name: value})


def test_a_url_encodes_what_it_is_made_of() -> None:
    running = RunningPostgres("127.0.0.1", 5432, "a@b", "p:/w", 1, "18.6")
    assert running.url("ä/?") == "postgresql://a%40b:p%3A%2Fw@127.0.0.1:5432/%C3%A4%2F%3F"
    assert "p:/w" not in repr(running)


@pytest.mark.parametrize(
    "binaries",
    sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    or [pytest.param(None, marks=pytest.mark.skip(reason="no PostgreSQL of Debian is installed"))],
    ids=lambda path: f"debian-{path.parent.name}" if path else "none",
)
def test_the_postgresql_of_the_system_serves_in_its_place(
    tmp_path: Path, make_postgres: Make, binaries: Path
) -> None:
    postgres = make_postgres(tmp_path / "home", binaries=binaries)
    running = postgres.start()
    assert running.version.split(".")[0] == binaries.parent.name
    with psycopg.connect(running.url()) as connection:
        assert connection.execute("select lower('ÄÖ')").fetchone() == ("äö",)
    assert postgres.stop()
