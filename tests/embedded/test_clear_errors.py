"""When it cannot start, it says why in one sentence, and what to do."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from tests.command import ghostcrm

from ghostcrm_provisioning.embedded import EmbeddedPostgres, cluster, loopback_port, postmaster
from ghostcrm_provisioning.errors import (
    EmbeddedPostgresDiskFull,
    EmbeddedPostgresError,
    EmbeddedPostgresPortInUse,
    EmbeddedPostgresVersionMismatch,
    InvalidSetting,
)

Make = Callable[..., EmbeddedPostgres]


def test_a_port_that_is_taken_is_named_with_the_program_that_has_it(
    tmp_path: Path, make_postgres: Make
) -> None:
    port = loopback_port.pick_free()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(EmbeddedPostgresPortInUse) as caught,
    ):
        make_postgres(tmp_path / "home", port=port).start()
    assert str(port) in caught.value.message
    assert f"process {os.getpid()}" in caught.value.message
    assert make_postgres(tmp_path / "home", port=port).start().port == port


def test_a_remembered_port_that_is_taken_gives_way_to_another_which_is_remembered(
    tmp_path: Path, make_postgres: Make
) -> None:
    postgres = make_postgres(tmp_path / "home")
    first = postgres.start()
    assert first.moved_from is None
    assert postgres.stop()
    with socket.create_server(("127.0.0.1", first.port)):
        second = postgres.start()
    assert second.port != first.port
    assert second.moved_from == first.port
    assert postgres.stop()
    third = postgres.start()
    assert (third.port, third.moved_from) == (second.port, None)


@pytest.mark.parametrize("command", [("postgres", "start"), ("notifications", "list")])
def test_whoever_starts_the_server_on_another_port_is_told(
    tmp_path: Path, make_postgres: Make, command: tuple[str, str]
) -> None:
    postgres = make_postgres(tmp_path / "home")
    port = postgres.start().port
    assert postgres.stop()
    environment = {**os.environ, "GHOSTCRM_HOME": str(tmp_path / "home")}
    with socket.create_server(("127.0.0.1", port)):
        outcome = ghostcrm(*command, environment=environment)
    assert outcome.code == 0, outcome.stderr
    assert f"Port {port} of the embedded PostgreSQL is taken" in outcome.stderr
    assert "GHOSTCRM_EMBEDDED_PORT" in outcome.stderr
    assert "is taken" not in ghostcrm(*command, environment=environment).stderr, "said once"


def test_a_port_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting):
        EmbeddedPostgres(tmp_path, port=65536)


def test_data_of_another_major_version_is_named_with_both_versions(
    tmp_path: Path, make_postgres: Make
) -> None:
    postgres = make_postgres(tmp_path / "home")
    own = postgres.start().version
    assert postgres.stop()
    (tmp_path / "home" / "postgresql" / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedPostgresVersionMismatch) as caught:
        postgres.start()
    assert "PostgreSQL 14" in caught.value.message
    assert own in caught.value.message
    assert "PostgreSQL 14" in caught.value.next_step


def test_a_small_disk_is_refused_before_anything_is_made(
    small_disk: Callable[[str, str], Path], make_postgres: Make
) -> None:
    disk = small_disk("tmpfs", "size=60m,mode=0755")
    with pytest.raises(EmbeddedPostgresDiskFull) as caught:
        make_postgres(disk / "home").start()
    assert str(disk) in caught.value.message
    assert not (disk / "home" / "postgresql" / "data").exists()


def test_a_disk_that_fills_up_while_the_data_is_made_is_said_to_be_full_and_left_clean(
    small_disk: Callable[[str, str], Path], make_postgres: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_NEEDED_BYTES", 0)
    disk = small_disk("tmpfs", "size=30m,mode=0755")
    with pytest.raises(EmbeddedPostgresDiskFull):
        make_postgres(disk / "home").start()
    left = {path.name for path in (disk / "home" / "postgresql").iterdir()}
    assert left == {"lock", "log", "password"}


def test_a_disk_that_is_full_is_said_to_be_and_works_again_with_space(
    small_disk: Callable[[str, str], Path], make_postgres: Make
) -> None:
    disk = small_disk("tmpfs", "size=260m,mode=0755")
    postgres = make_postgres(disk / "home")
    postgres.start()
    assert postgres.stop()
    # The next start may not live on the space that it frees itself.
    (disk / "home" / "postgresql" / "log" / "startup.log").unlink()
    _fill(disk / "filler")
    with pytest.raises(EmbeddedPostgresDiskFull):
        postgres.start()
    (disk / "filler").unlink()
    postgres.start()


def _fill(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_setting_that_postgresql_does_not_accept_is_quoted_from_its_log(
    tmp_path: Path, make_postgres: Make
) -> None:
    home = tmp_path / "home"
    with pytest.raises(EmbeddedPostgresError) as caught:
        make_postgres(home, settings={"shared_buffers": "a lot"}).start()
    assert 'invalid value for parameter "shared_buffers"' in caught.value.message
    assert str(home / "postgresql" / "log") in caught.value.message
    assert "\n" not in caught.value.message


def test_a_folder_without_programs_is_named(tmp_path: Path, make_postgres: Make) -> None:
    with pytest.raises(EmbeddedPostgresError) as caught:
        make_postgres(tmp_path / "home", binaries=tmp_path).start()
    assert str(tmp_path) in caught.value.message


def test_a_server_without_a_free_connection_is_said_to_have_none(
    tmp_path: Path, make_postgres: Make
) -> None:
    few = {"max_connections": "2", "superuser_reserved_connections": "0"}
    few |= {"max_wal_senders": "0", "reserved_connections": "0"}
    postgres = make_postgres(tmp_path / "home", settings=few)
    url = postgres.start().url()
    with (
        psycopg.connect(url),
        psycopg.connect(url),
        pytest.raises(EmbeddedPostgresError, match="no connection left"),
    ):
        postgres.start()


@pytest.mark.parametrize(
    "said",
    [
        "FATAL:  the database system is shutting down",
        "connection to server failed: could not send startup packet: Broken pipe",
        "sending query failed: could not send data to server: Connection timed out",
        "consuming input failed: terminating connection due to administrator command",
        "sending query failed: no connection to the server",
    ],
)
def test_a_server_that_goes_away_in_the_middle_of_a_login_is_one_that_does_not_answer_now(
    tmp_path: Path, said: str
) -> None:
    assert isinstance(postmaster._refusal(said, tmp_path, 5432), postmaster.NotAnswering)


def test_a_lost_password_file_is_said_to_be_lost(tmp_path: Path, make_postgres: Make) -> None:
    home = tmp_path / "home"
    postgres = make_postgres(home)
    postgres.start()
    password_file = home / "postgresql" / "password"
    for spoil in (password_file.unlink, lambda: password_file.write_text("another\n")):
        spoil()
        with pytest.raises(EmbeddedPostgresError, match="password"):
            postgres.start()
    assert postgres.stop()
