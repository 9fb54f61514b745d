"""Promise 4: the password is hashed at the door and appears nowhere after that."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.acceptance.server_log import ServerLog
from tests.command import COMMAND, ghostcrm
from tests.conftest import Server

PASSWORD = "Xyzzy-plugh-1717!"


def _everything_in(url: str) -> str:
    """The text of every table of a database."""
    texts = []
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            texts += [str(row) for row in connection.execute(f"select t::text from {table} t")]
    return "\n".join(texts)


@pytest.mark.long
@pytest.mark.parametrize("outcome", ["ready", "failed"])
def test_the_password_is_never_seen_again(
    environment: Callable[..., dict[str, str]],
    server: Server,
    tmp_path: Path,
    outcome: str,
) -> None:
    variables = environment(debug_provisioning=True) | {"DEBUG_PROVISIONING": "true"}
    log = ServerLog(server)
    options = ["--plan", "professional"]
    if outcome == "failed":
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "blueprint.toml").write_text(
            'name = "broken"\ntitle = "Broken"\n[plans.professional]\ntitle = "P"\n'
        )
        (broken / "001_broken.sql").write_text("select 1 / 0;")
        options += ["--blueprint", str(broken)]
    process = subprocess.Popen(
        [*COMMAND, "provision", "ACME", "--admin-email", "a@acme.com", "--password-stdin", "--json",
         *options],
        env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen_by_ps: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        """As `ps` would, for as long as the command runs: arguments and environments."""
        while not ended.wait(0.02):
            for each in psutil.process_iter():
                # Some processes end while they are looked at; the others are looked at all the same.
                with contextlib.suppress(psutil.Error):
                    seen_by_ps.update([*each.cmdline(), *each.environ().values()])

    watcher = threading.Thread(target=watch)
    watcher.start()
    stdout, stderr = process.communicate(PASSWORD + "\n", timeout=170)
    ended.set()
    watcher.join()
    assert process.returncode == (0 if outcome == "ready" else 1), stderr
    assert any("provision" in text for text in seen_by_ps)

    places = {
        "stdout": stdout,
        "stderr": stderr,
        "ps": "\n".join(seen_by_ps),
        "control database": _everything_in(variables["GHOSTCRM_DATABASE_URL"]),
        "our log": "\n".join(
            path.read_text() for path in (tmp_path / "home" / "logs").rglob("*.log")
        ),
        "PostgreSQL's log": log.text(),
    }
    if outcome == "ready":
        found = ghostcrm("clients", "list", "--json", environment=variables).document["data"][0]
        name = found["database"]["name"]
        places["client database"] = _everything_in(server.running.url(name))
        assert "$2b$" in places["client database"], "the hash is there, so the search works"
    assert "provision_client" in places["control database"]
    assert "insert into clients" in places["PostgreSQL's log"], "all statements are logged"
    assert '"event": "client_registered"' in places["our log"]
    for place, text in places.items():
        assert PASSWORD not in text, place
        assert PASSWORD.encode().hex() not in text, place
    for place in ("control database", "our log", "stdout", "stderr"):
        assert "$2b$" not in places[place], f"a password hash in {place}"


def test_lists_explanations_and_errors_hold_no_secret(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    client = ghostcrm(
        "provision", "ACME", "--admin-email", "a@acme.com", "--json", environment=variables
    ).document
    secrets = [client["admin"]["temporaryPassword"]]
    for role in ("app", "service", "auth", "owner"):
        connection = ghostcrm(
            "clients", "connect", client["id"], "--role", role, "--json", environment=variables
        ).document
        secrets += [connection["anonKey"], connection["serviceRoleKey"], connection["databaseUrl"]]
        secrets.append(psycopg.conninfo.conninfo_to_dict(connection["databaseUrl"])["password"])
    told = []
    for arguments in (
        ["clients", "list", "--json"],
        ["clients", "show", client["id"], "--json"],
        ["clients", "explain", client["id"], "--json"],
        ["queue", "status", "--json"],
        ["doctor", "--json"],
        ["clients", "show", client["id"]],
    ):
        outcome = ghostcrm(*arguments, environment=variables)
        told.append(outcome.stdout + outcome.stderr)
    told.append(_everything_in(variables["GHOSTCRM_DATABASE_URL"]))
    told += [
        path.read_text() for path in (Path(variables["GHOSTCRM_HOME"]) / "logs").rglob("*.log")
    ]
    for secret in secrets:
        for text in told:
            assert str(secret) not in text


def test_a_wrong_database_url_is_not_shown_with_its_password(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    variables["GHOSTCRM_DATABASE_URL"] = "postgresql://someone:hunter2hunter2@127.0.0.1:1/nowhere"
    outcome = ghostcrm("clients", "list", "--json", environment=variables)
    assert outcome.code == 1
    assert outcome.document["error"]["code"] == "server_unreachable"
    assert "hunter2" not in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.new_installation
def test_what_lies_in_the_home_folder_is_readable_by_its_owner_only(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    assert ghostcrm("clients", "list", environment=variables).code == 0
    keys = list((Path(variables["GHOSTCRM_HOME"]) / "keys").iterdir())
    assert keys
    for path in keys:
        assert path.stat().st_mode & 0o077 == 0, path
