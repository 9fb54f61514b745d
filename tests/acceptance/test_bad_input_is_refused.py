"""Bad input gets one clear sentence with a code, and nothing is created for it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.command import COMMAND, Outcome, ghostcrm


def _provision(
    environment: dict[str, str],
    name: str,
    email: str = "a@acme.com",
    *options: str,
    stdin: str = "",
) -> Outcome:
    return ghostcrm(
        "provision", name, "--admin-email", email, "--json", *options,
        environment=environment, stdin=stdin,
    )  # fmt: skip


def _count_clients(environment: dict[str, str]) -> int:
    with psycopg.connect(environment["GHOSTCRM_DATABASE_URL"]) as control:
        row = control.execute("select count(*) from ghostcrm.clients").fetchone()
        assert row is not None
        return int(row[0])


REFUSED = {
    "an empty name": ("", "a@acme.com", (), "", "invalid_company_name"),
    "a blank name": ("   ", "a@acme.com", (), "", "invalid_company_name"),
    "300 characters": ("x" * 300, "a@acme.com", (), "", "invalid_company_name"),
    "a control character": ("AC\x07ME", "a@acme.com", (), "", "invalid_company_name"),
    "a line break": ("AC\nME", "a@acme.com", (), "", "invalid_company_name"),
    "reordered text": ("ACME\u202eCORP", "a@acme.com", (), "", "invalid_company_name"),
    "no at sign": ("ACME", "acme.com", (), "", "invalid_email"),
    "two at signs": ("ACME", "a@b@acme.com", (), "", "invalid_email"),
    "a 320-character email": ("ACME", f"{'a' * 64}@{'b' * 251}.com", (), "", "invalid_email"),
    "a blank email": ("ACME", " ", (), "", "invalid_email"),
    "a name in another script before the at sign": ("ACME", "админ@acme.com", (), "", "invalid_email"),
    "an unknown plan": ("ACME", "a@acme.com", ("--plan", "gold"), "", "unknown_plan"),
    "a password of 5 bytes": (
        "ACME", "a@acme.com", ("--password-stdin",), "12345\n", "invalid_password",
    ),
    "a password of 100 bytes": (
        "ACME", "a@acme.com", ("--password-stdin",), "x" * 100 + "\n", "invalid_password",
    ),
    "72 characters that are 144 bytes": (
        "ACME", "a@acme.com", ("--password-stdin",), "é" * 72 + "\n", "invalid_password",
    ),
    "an empty password": ("ACME", "a@acme.com", ("--password-stdin",), "\n", "invalid_password"),
    "an id that is none": ("ACME", "a@acme.com", ("--id", "42"), "", "invalid_identifier"),
}  # fmt: skip


def test_what_is_refused_creates_nothing(environment: Callable[..., dict[str, str]]) -> None:
    """All in one installation, so that the end can be counted."""
    variables = environment()
    for what, (name, email, options, stdin, code) in REFUSED.items():
        outcome = _provision(variables, name, email, *options, stdin=stdin)
        assert outcome.code == 2, (what, outcome)
        error = outcome.document["error"]
        assert error["code"] == code, what
        assert error["nextStep"], what
        assert error["message"].endswith("."), what
        assert "Traceback" not in outcome.stderr, what
        assert outcome.stderr.count("\n") == 2, (what, outcome.stderr)
    assert _count_clients(variables) == 0
    assert _provision(variables, "ACME").code == 0
    assert _count_clients(variables) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "Robert'); drop table clients;--",
        'The "Quoted" & <b>Bold</b> Company\\',
        "株式会社ゴースト",
        "شركة الأشباح",
        "👩‍👩‍👧‍👦 Family 🚀",
        "$(touch hacked) `id` ${HOME} %s %(name)s {0}",
        "[bold]not markup[/]",
        "x" * 200,
        "-dash",
    ],
)
def test_unusual_names_are_welcome_and_kept_as_they_are(
    environment: Callable[..., dict[str, str]], name: str
) -> None:
    variables = environment()
    outcome = ghostcrm(
        "provision", "--admin-email", "Ädmin@bücher.example".replace("Ä", "A"), "--json", "--", name,
        environment=variables,
    )  # fmt: skip
    assert outcome.code == 0, outcome.stderr
    assert outcome.document["name"] == name
    assert outcome.document["admin"]["email"] == "admin@xn--bcher-kva.example"
    listed = ghostcrm("clients", "list", "--json", environment=variables).document
    assert [client["name"] for client in listed["data"]] == [name]
    words = ghostcrm("clients", "show", outcome.document["id"], environment=variables)
    assert name[:12].strip() in words.stdout
    log = "".join(
        path.read_text() for path in (Path(variables["GHOSTCRM_HOME"]) / "logs").rglob("*.log")
    )
    assert {json.loads(line)["clientName"] for line in log.splitlines()} <= {name, None}


def test_a_name_with_nul_cannot_even_be_typed_but_is_refused_by_the_function(
    environment: Callable[..., dict[str, str]],
) -> None:
    program = (
        "from ghostcrm_provisioning.registration import on_client_registration_sync as register\n"
        "from ghostcrm_provisioning.errors import InvalidInput\n"
        "for field in ('company_name', 'admin_email', 'admin_password'):\n"
        "    good = dict(company_name='ACME', admin_email='a@acme.com', admin_password='long enough')\n"
        "    try: register(**(good | {field: good[field] + chr(0)}))\n"
        "    except InvalidInput as error: print(error.code)\n"
    )
    outcome = subprocess.run(
        [COMMAND[0], "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == ["invalid_company_name", "invalid_email", "invalid_password"]


def test_usage_mistakes_are_told_with_exit_code_2(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment()
    for arguments in (
        ["provision"],
        ["provision", "ACME"],
        ["provision", "ACME", "--admin-email", "a@acme.com", "--no-such-option"],
        ["no-such-command"],
        ["clients", "show"],
        ["clients", "show", "zzz"],
        ["clients", "connect", "0" * 8, "--role", "superuser"],
        ["clients", "list", "--status", "happy"],
    ):
        outcome = ghostcrm(*arguments, environment=variables)
        assert outcome.code in (2, 3), (arguments, outcome)
        assert "Traceback" not in outcome.stderr
    unknown = "00000000-0000-4000-8000-000000000000"
    for command in ("show", "explain", "connect", "retry"):
        outcome = ghostcrm("clients", command, unknown, "--json", environment=variables)
        assert outcome.code == 3, outcome
        assert outcome.document["error"]["code"] == "not_found"


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        ("clients", "list"),
        ("clients", "show", "0123"),
        ("clients", "explain", "0123"),
        ("clients", "connect", "0123"),
        ("queue", "status"),
        ("notifications", "list"),
    ],
    ids=" ".join,
)
def test_looking_in_another_folder_begins_no_second_installation(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    variables = {
        name: each for name, each in os.environ.items() if not name.startswith("GHOSTCRM_")
    }
    finished = subprocess.run(
        [*COMMAND, *command, "--json"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 1
    error = json.loads(finished.stdout)["error"]
    assert error["code"] == "no_installation_here"
    assert str(tmp_path / ".ghostcrm") in error["message"]
    assert "GHOSTCRM_HOME" in error["nextStep"]
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_names_the_variable(environment: Callable[..., dict[str, str]]) -> None:
    variables = environment() | {"GHOSTCRM_MAX_ATTEMPTS": "lots"}
    outcome = ghostcrm("clients", "list", "--json", environment=variables)
    assert outcome.code == 2
    assert outcome.document["error"]["code"] == "invalid_setting"
    assert "GHOSTCRM_MAX_ATTEMPTS" in outcome.document["error"]["message"]


@pytest.mark.long
def test_json_is_the_only_thing_on_stdout(environment: Callable[..., dict[str, str]]) -> None:
    variables = environment() | {"PYTHONWARNINGS": "default", "TERM": "xterm-256color"}
    outcome = _provision(variables, "ACME")
    json.loads(outcome.stdout)
    assert outcome.stdout.startswith("{")
    assert "\x1b" not in outcome.stdout
    assert os.linesep + "}" in outcome.stdout
