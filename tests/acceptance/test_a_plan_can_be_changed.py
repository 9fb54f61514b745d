"""A client's plan is changed from the command line: previewed, refused, allowed, in effect at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.command import ghostcrm
from tests.conftest import Server
from tests.integration.counting_blueprint import write_counting_blueprint
from tests.integration.waiting import enter


@pytest.mark.long
def test_a_plan_is_previewed_refused_allowed_and_in_effect_at_once(
    environment: Callable[..., dict[str, str]], tmp_path: Path, server: Server
) -> None:
    variables = environment(blueprint=write_counting_blueprint(tmp_path / "counting"))

    def clients(*arguments: str, code: int = 0) -> Any:
        outcome = ghostcrm("clients", *arguments, "--json", environment=variables)
        assert outcome.code == code, outcome.stderr
        assert "Traceback" not in outcome.stderr
        return outcome.document

    made = ghostcrm(
        "provision", "ACME", "--admin-email", "a@acme.com", "--plan", "medium", "--json",
        environment=variables,
    )  # fmt: skip
    assert made.code == 0, made.stderr
    client_id = made.document["id"]
    database = made.document["database"]["name"]
    url = clients("connect", client_id)["databaseUrl"]

    def add_a_contact() -> None:
        with server.superuser(database) as connection:
            connection.execute("insert into public.contacts (name) values ('one more')")

    for _ in range(5):
        add_a_contact()
    with pytest.raises(psycopg.DatabaseError, match="no more contacts"):
        add_a_contact()

    preview = clients("change-plan", client_id, "small", "--dry-run")
    assert preview["fits"] is False
    assert {
        "resource": "contacts", "used": 5, "allowedNow": 5, "allowedThen": 3, "overBy": 2,
    } in preview["resources"]  # fmt: skip

    refused = clients("change-plan", client_id, "small", code=5)
    assert refused["error"]["code"] == "plan_does_not_fit"
    assert refused["error"]["details"] == {"contacts": 2}
    assert refused["preview"] == preview
    assert clients("show", client_id)["kind"] == "provision_client", "there is no run of it"

    larger = clients("change-plan", client_id, "large")
    assert (larger["changed"], larger["plan"], larger["previousPlan"]) == (True, "large", "medium")
    assert [step["status"] for step in larger["steps"]] == ["done"] * 3
    add_a_contact()
    with ExitStack() as entered:
        for _ in range(14):
            entered.enter_context(enter(url))
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            psycopg.connect(url)

    same = clients("change-plan", client_id, "large")
    assert (same["changed"], same["runId"]) == (False, larger["runId"])

    smaller = clients("change-plan", client_id, "small", "--allow-over-limit")
    assert (smaller["changed"], smaller["plan"]) == (True, "small")
    with server.superuser(database) as connection:
        assert connection.execute("select count(*) as n from public.contacts").fetchall() == [
            {"n": 6}
        ], "nothing was deleted"
    with pytest.raises(psycopg.DatabaseError, match="no more contacts"):
        add_a_contact()

    (listed,) = clients("list")["data"]
    assert (listed["status"], listed["plan"], listed["wantedPlan"]) == ("ready", "small", "small")


def test_a_change_that_fails_leaves_the_client_ready_on_its_plan_and_can_be_retried(
    environment: Callable[..., dict[str, str]], tmp_path: Path, server: Server
) -> None:
    variables = environment(blueprint=write_counting_blueprint(tmp_path / "counting"))

    def run(*arguments: str) -> Any:
        return ghostcrm(*arguments, environment=variables)

    made = run(
        "provision", "ACME", "--admin-email", "a@acme.com", "--plan", "medium", "--json"
    ).document
    accepted = run("clients", "change-plan", made["id"], "small", "--no-wait", "--json")
    assert accepted.code == 0, accepted.stderr
    assert (accepted.document["plan"], accepted.document["wantedPlan"]) == ("medium", "small")
    assert accepted.document["changed"] is False
    assert "No workers are running" in accepted.stderr
    in_the_way = run("clients", "change-plan", made["id"], "large", "--json")
    assert in_the_way.code == 5
    assert accepted.document["runId"] in in_the_way.document["error"]["message"]

    # It grows until the change is carried out, by the one who asks for the same again.
    with server.superuser(made["database"]["name"]) as connection:
        connection.execute("insert into public.contacts (name) values ('1'), ('2'), ('3'), ('4')")
    failed = run("clients", "change-plan", made["id"], "small", "--json")
    assert failed.code == 5, failed.stderr
    assert failed.document["error"]["code"] == "plan_does_not_fit"
    assert (failed.document["status"], failed.document["plan"]) == ("ready", "medium")
    explained = run("clients", "explain", made["id"]).stdout
    assert "ACME is ready on the plan medium; its change to small failed" in explained
    assert "contacts by 1" in explained
    assert "medium (wanted: small)" in run("clients", "list").stdout

    with server.superuser(made["database"]["name"]) as connection:
        connection.execute("delete from public.contacts where name = '4'")
    retried = run("clients", "retry", made["id"])
    assert retried.code == 0, retried.stderr
    assert "ACME has the plan small" in retried.stdout
    shown = run("clients", "show", made["id"]).stdout
    assert "Change plan, succeeded" in shown
