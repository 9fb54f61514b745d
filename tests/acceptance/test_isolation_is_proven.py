"""Promise 2: no client's data is open to anybody who must not see it; who is found open is closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.command import Outcome, ghostcrm
from tests.conftest import Server
from tests.integration.small_blueprint import write_small_blueprint

BREAKS = (
    "grant select on public.things to anon",
    "alter table public.things disable row level security",
)
MENDS = (
    "revoke select on public.things from anon",
    "alter table public.things enable row level security",
)


@pytest.fixture
def run(environment: Callable[..., dict[str, str]], tmp_path: Path) -> Callable[..., Outcome]:
    """Runs a command in an installation whose clients have one table, unless they are to have more."""
    variables = environment(blueprint=write_small_blueprint(tmp_path / "small"))

    def run_(*arguments: str) -> Outcome:
        return ghostcrm(*arguments, "--json", environment=variables)

    return run_


def _provision(run: Callable[..., Outcome], name: str, *options: str) -> Any:
    outcome = run("provision", name, "--admin-email", "a@acme.com", *options)
    assert outcome.code == 0, outcome.stderr
    return outcome.document


def _as_superuser(server: Server, database: str, *statements: str) -> None:
    with server.superuser(database) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _is_let_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_client_with_the_complete_crm_withstands_the_full_attack(
    run: Callable[..., Outcome],
) -> None:
    client = _provision(run, "ACME", "--blueprint", "ghostcrm")
    _provision(run, "Neighbour")
    assert client["isolation"] is None
    proven = run("verify", client["id"])
    assert proven.code == 0, proven.stdout
    verdict = proven.document
    assert (verdict["holds"], verdict["findings"]) == (True, [])
    assert verdict["clientStatus"] == "ready"
    for kind in ("select", "insert", "update", "delete", "call"):
        assert verdict["attempts"][kind] > 100, kind
    assert verdict["attempts"]["connectAsAnotherClient"] == 1
    assert "Attacking the database of ACME" in proven.stderr


@pytest.mark.long
def test_a_client_whose_isolation_is_broken_is_closed_until_it_is_proven_again(
    run: Callable[..., Outcome], server: Server
) -> None:
    client = _provision(run, "ACME")
    url = run("clients", "connect", client["id"]).document["databaseUrl"]
    assert run("verify", client["id"]).code == 0

    _as_superuser(server, client["database"]["name"], *BREAKS)
    failed = run("verify", client["id"])
    assert failed.code == 1
    assert failed.document["holds"] is False
    assert failed.document["clientStatus"] == "quarantined"
    sentences = [finding["sentence"] for finding in failed.document["findings"]]
    assert any("things" in sentence and "anon" in sentence for sentence in sentences), sentences
    assert "Row level security is off on table things." in sentences
    assert not _is_let_in(url)

    refused = run("clients", "connect", client["id"])
    assert (refused.code, refused.document["error"]["code"]) == (5, "client_quarantined")
    assert f"ghostcrm clients release {client['id']}" in refused.document["error"]["nextStep"]
    explained = run("clients", "explain", client["id"]).document
    assert (explained["status"], explained["ready"]) == ("quarantined", False)
    assert explained["code"] == "isolation_not_proven"
    assert explained["since"]
    assert explained["findings"] == failed.document["findings"]
    assert explained["then"] == f"ghostcrm clients release {client['id']}"
    (listed,) = run("clients", "list", "--status", "quarantined").document["data"]
    assert listed["id"] == client["id"]
    assert listed["quarantinedAt"] == explained["since"]
    assert listed["isolation"]["holds"] is False

    _as_superuser(server, client["database"]["name"], *MENDS)
    released = run("clients", "release", client["id"])
    assert released.code == 0, released.stdout
    assert released.document["clientStatus"] == "ready"
    assert _is_let_in(url)
    stored = run("clients", "verdicts", client["id"]).document["data"]
    assert [each["holds"] for each in stored] == [True, False, True]


def test_what_to_verify_must_be_said(run: Callable[..., Outcome]) -> None:
    refused = run("verify")
    assert (refused.code, refused.document["error"]["code"]) == (2, "invalid_input")
    assert run("verify", "--sample", "3").document == {"data": [], "verified": 0, "failed": 0}
