"""Any folder will do, also a private one, which is opened to one user only."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from ghostcrm_provisioning.embedded import EmbeddedPostgres, binaries
from ghostcrm_provisioning.embedded.service_user import ServiceUser, run_as
from ghostcrm_provisioning.errors import EmbeddedPostgresError, EmbeddedPostgresPermissionDenied

Make = Callable[..., EmbeddedPostgres]
Command = Callable[..., list[str]]
Copy = Callable[[Path], Path]

ODD_NAME = """it's "quoted" `x` $HOME \\ ünïcode 日本 with spaces"""


def test_a_home_with_a_long_and_odd_path_works(tmp_path: Path, make_postgres: Make) -> None:
    home = tmp_path / ODD_NAME / ("long " * 40) / "home"
    postgres = make_postgres(home)
    running = postgres.start()
    with psycopg.connect(running.url()) as connection:
        row = connection.execute("select current_setting('data_directory')").fetchone()
    assert row == (str(home / "postgresql" / "data"),)
    assert postgres.stop()
    assert postgres.start().port == running.port


def test_programs_in_a_folder_with_an_odd_path_work(
    tmp_path: Path, make_postgres: Make, monkeypatch: pytest.MonkeyPatch, copy_of_the_wheel: Copy
) -> None:
    place = tmp_path / ODD_NAME
    place.mkdir()
    folder = copy_of_the_wheel(place)
    monkeypatch.setattr(binaries, "_wheel_folder", lambda: folder)
    running = make_postgres(tmp_path / ODD_NAME / "home").start()
    assert Path(psutil.Process(running.pid).exe()).is_relative_to(place)


def test_a_relative_home_and_one_behind_a_link_are_the_same(
    tmp_path: Path, make_postgres: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    running = make_postgres(Path("home")).start()
    assert make_postgres(tmp_path / "link").start() == running


def test_below_a_private_folder_of_root_only_the_service_user_is_let_through(
    root: None, tmp_path: Path, make_postgres: Make
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    running = make_postgres(private / "home").start()
    assert stat.S_IMODE(private.stat().st_mode) & 0o007 == 0
    server = psutil.Process(running.pid)
    service_user = ServiceUser(server.username(), server.uids().real, server.gids().real)
    stranger = ServiceUser.named("daemon")
    assert stranger is not None
    assert _may_pass(service_user, private)
    assert not _may_pass(stranger, private)
    # To pass is not to look: the names in there stay private.
    assert run_as(service_user, ["ls", private], timeout_seconds=60).exit_code != 0


def test_programs_and_home_in_one_private_folder_of_root_are_used_where_they_are(
    root: None,
    tmp_path: Path,
    make_postgres: Make,
    monkeypatch: pytest.MonkeyPatch,
    copy_of_the_wheel: Copy,
) -> None:
    clone = tmp_path / "clone"
    clone.mkdir(mode=0o700)
    folder = copy_of_the_wheel(clone)
    monkeypatch.setattr(binaries, "_wheel_folder", lambda: folder)
    running = make_postgres(clone / ".ghostcrm").start()
    assert Path(psutil.Process(running.pid).exe()) == folder / "postgres"


def _may_pass(user: ServiceUser, folder: Path) -> bool:
    return run_as(user, ["test", "-x", folder], timeout_seconds=60).exit_code == 0


def test_programs_that_the_service_user_cannot_read_are_copied(
    root: None,
    tmp_path: Path,
    make_postgres: Make,
    monkeypatch: pytest.MonkeyPatch,
    copy_of_the_wheel: Copy,
) -> None:
    place = tmp_path / "installed with umask 077"
    place.mkdir()
    folder = copy_of_the_wheel(place)
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)
    monkeypatch.setattr(binaries, "_wheel_folder", lambda: folder)
    home = tmp_path / "home"
    postgres = make_postgres(home)
    running = postgres.start()
    program = Path(psutil.Process(running.pid).exe())
    assert program.is_relative_to(home / "postgresql")
    assert program.stat().st_uid == 0, "what root runs must not be the service user's to write"
    copied_at = program.stat().st_ctime_ns
    assert postgres.stop()
    postgres.start()
    assert program.stat().st_ctime_ns == copied_at, "the copy is made once"


def test_a_file_system_without_access_control_lists_is_named_with_the_command_that_helps(
    small_disk: Callable[[str, str], Path], make_postgres: Make
) -> None:
    private = small_disk("ramfs", "mode=0755") / "private"
    private.mkdir(mode=0o700)
    postgres = make_postgres(private / "home")
    with pytest.raises(EmbeddedPostgresPermissionDenied) as caught:
        postgres.start()
    assert str(private) in caught.value.message
    assert f"chmod o+x {private}" in caught.value.next_step
    subprocess.run(["chmod", "o+x", private], check=True)
    postgres.start()


def test_a_home_that_an_unprivileged_user_may_not_use_is_named(
    unprivileged_user: int, open_folder: Path, starting_process: Command
) -> None:
    forbidden = open_folder / "forbidden"
    forbidden.mkdir(mode=0o700)
    for home in (forbidden / "home", forbidden):
        finished = subprocess.run(
            starting_process(home, "--become", str(unprivileged_user)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 1
        assert finished.stderr.startswith("embedded_postgres_permission_denied: ")
        assert str(forbidden) in finished.stderr
        assert "Traceback" not in finished.stderr


def test_a_home_that_is_a_file_is_one_clear_sentence(tmp_path: Path, make_postgres: Make) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="file"):
        make_postgres(tmp_path / "file").start()


def test_the_dedicated_user_cannot_log_in(root: None, make_postgres: Make, tmp_path: Path) -> None:
    running = make_postgres(tmp_path / "home").start()
    entry = pwd.getpwuid(psutil.Process(running.pid).uids().real)
    if entry.pw_name != "ghostcrm-postgres":
        pytest.skip("this machine let us make no user of our own")
    assert entry.pw_shell.endswith("nologin")
    assert entry.pw_uid != os.geteuid()
