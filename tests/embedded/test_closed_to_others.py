"""Who gets in: nobody without the password, nobody from elsewhere; and what the log keeps."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from ghostcrm_provisioning.embedded import EmbeddedPostgres


def test_it_listens_on_the_loopback_address_only(shared_postgres: EmbeddedPostgres) -> None:
    running = shared_postgres.start()
    server = psutil.Process(running.pid)
    addresses = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in server.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {("127.0.0.1", running.port)}
    assert not any(connection.laddr for connection in server.net_connections(kind="unix"))


@pytest.mark.parametrize(
    ("password", "answer"),
    [("wrong", "password authentication failed"), (None, "no password supplied")],
)
def test_a_wrong_or_missing_password_is_refused(
    shared_postgres: EmbeddedPostgres, password: str | None, answer: str
) -> None:
    running = shared_postgres.start()
    with pytest.raises(psycopg.OperationalError, match=answer):
        psycopg.connect(
            host=running.host,
            port=running.port,
            user=running.user,
            password=password,
            passfile="/dev/null",
            dbname="postgres",
        )


def test_replication_is_refused_even_with_the_password(shared_postgres: EmbeddedPostgres) -> None:
    running = shared_postgres.start()
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry for replication"):
        psycopg.connect(running.url(), replication="true")


def test_the_password_lies_in_one_file_that_only_its_owner_may_read(
    tmp_path: Path, make_postgres: Callable[..., EmbeddedPostgres]
) -> None:
    home = tmp_path / "home"
    running = make_postgres(home).start()
    holding = [
        path
        for path in home.rglob("*")
        if path.is_file() and running.password.encode() in path.read_bytes()
    ]
    assert holding == [home / "postgresql" / "password"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    assert len(running.password) >= 32
    assert running.password not in " ".join(psutil.Process(running.pid).cmdline())


def test_the_log_shows_neither_statements_nor_their_values(
    tmp_path: Path,
    make_postgres: Callable[..., EmbeddedPostgres],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    home = tmp_path / "home"
    postgres = make_postgres(home)
    secret = "Tr0ub4dor"
    failing = [
        f"create role x password '{secret}' nonsense",
        f"do $$ begin execute 'alter role nobody password ''{secret}'''; end $$",
        f"insert into unique_values values ('{secret}')",
    ]
    with psycopg.connect(postgres.start().url(), autocommit=True) as connection:
        connection.execute("create table unique_values (value text unique)")
        connection.execute(f"insert into unique_values values ('{secret}')")
        for statement in failing:
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
        with pytest.raises(psycopg.Error):
            connection.execute("select 1 / length(replace(%s, %s, ''))", [secret, secret])
    assert postgres.stop()

    def log() -> str:
        return "".join(path.read_text() for path in (home / "postgresql" / "log").iterdir())

    # The last failure; whoever writes the log may end some time after the server.
    eventually(lambda: "division by zero" in log())
    assert "duplicate key" in log()
    assert secret not in log()
