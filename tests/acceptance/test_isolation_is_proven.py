"""Promise 2: no client's data is open to anybody who must not see it; who is found open is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.command import Outcome, ghostcrm
from tests.conftest import Server

BREAKS = (
    "grant select on public.contacts to anon",
    "alter table public.deals disable row level security",
)
MENDS = (
    "revoke select on public.contacts from anon",
    "alter table public.deals enable row level security",
)


@pytest.fixture
def run(environment: Callable[..., dict[str, str]]) -> Callable[..., Outcome]:
    variables = environment()

    def run_(*arguments: str) -> Outcome:
        return ghostcrm(*arguments, "--json", environment=variables, timeout=170)

    return run_


def _provision(run: Callable[..., Outcome], name: str) -> Any:
    outcome = run("provision", name, "--admin-email", "a@acme.com")
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


def test_a_client_whose_isolation_is_broken_is_closed_until_it_is_proven_again(
    run: Callable[..., Outcome], server: Server
) -> None:
    client, _ = _provision(run, "ACME"), _provision(run, "Neighbour")
    url = run("clients", "connect", client["id"]).document["databaseUrl"]
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

    _as_superuser(server, client["database"]["name"], *BREAKS)
    failed = run("verify", client["id"])
    assert failed.code == 1
    assert failed.document["holds"] is False
    assert failed.document["clientStatus"] == "quarantined"
    sentences = " ".join(finding["sentence"] for finding in failed.document["findings"])
    assert "contacts" in sentences
    assert "deals" in sentences
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
    shown = run("clients", "show", client["id"]).document
    assert shown["status"] == "quarantined"
    assert shown["quarantinedAt"] == explained["since"]
    assert shown["isolation"]["holds"] is False
    (listed,) = run("clients", "list", "--status", "quarantined").document["data"]
    assert listed["id"] == client["id"]
    (told,) = run("notifications", "list").document["data"]
    assert (told["severity"], told["clientId"]) == ("critical", client["id"])
    findings = {each["name"]: each for each in run("doctor").document["findings"]}
    assert findings["Isolation"]["status"] == "warning"
    assert "1 in quarantine" in findings["Isolation"]["seen"]

    _as_superuser(server, client["database"]["name"], *MENDS)
    released = run("clients", "release", client["id"])
    assert released.code == 0, released.stdout
    assert released.document["clientStatus"] == "ready"
    assert _is_let_in(url)
    assert run("clients", "connect", client["id"]).document["databaseUrl"] == url
    stored = run("clients", "verdicts", client["id"]).document["data"]
    assert [each["holds"] for each in stored] == [True, False, True]
    assert {each["catalogFingerprint"] for each in stored}
    assert run("clients", "release", client["id"]).code == 5, "there is nothing to release"


def test_what_to_verify_must_be_said(run: Callable[..., Outcome]) -> None:
    for arguments in ((), ("12345678", "--sample", "1")):
        refused = run("verify", *arguments)
        assert (refused.code, refused.document["error"]["code"]) == (2, "invalid_input")
    assert run("verify", "--sample", "3").document == {"data": [], "verified": 0, "failed": 0}
    assert run("verify", "12345678").code == 3
