"""Row level security costs the pages of a CRM little: `ghostcrm bench queries` says how little."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.command import ghostcrm
from tests.conftest import Server

CONTACTS = "20000"
ROUNDS = 4
# The measure for 200,000 contacts is 1.15 on a machine that does nothing else; here a machine may be
# busy, and what must be noticed is a policy that asks something for each row.
ALLOWED = 1.4


@pytest.mark.long
def test_every_page_is_measured_beside_itself_and_nothing_is_left_behind(
    server: Server, environment: Callable[..., dict[str, str]]
) -> None:
    variables = environment()
    outcome = ghostcrm(
        "bench", "queries", "--contacts", CONTACTS, "--pairs", "2", "--json",
        environment=variables, timeout=170,
    )  # fmt: skip
    document = outcome.document
    assert {(cell["query"], cell["role"]) for cell in document["cells"]} == {
        (query, role)
        for query in ("contacts_page", "search", "board", "timeline")
        for role in ("owner", "manager", "sales", "viewer")
    }
    assert all(cell["rows"] > 0 for cell in document["cells"])
    assert outcome.code == (0 if document["passes"] else 1)
    assert document["passes"] == all(cell["ratio"] <= 1.15 for cell in document["cells"])
    assert document["import"]["contacts"] == 10_000
    assert document["import"]["ms"] > 0
    with psycopg.connect(variables["GHOSTCRM_DATABASE_URL"]) as control:
        row = control.execute("select id from ghostcrm.installation").fetchone()
        assert row is not None
    with server.superuser() as connection:  # others have scratch databases there, too
        left = connection.execute(
            "select datname from pg_database where datname like %s",
            (f"ghostcrm_scratch_{row[0].hex[:8]}%",),
        ).fetchall()
    assert left == []


def test_a_sample_that_is_too_small_to_measure_is_refused(
    environment: Callable[..., dict[str, str]],
) -> None:
    outcome = ghostcrm("bench", "queries", "--contacts", "100", environment=environment())
    assert outcome.code == 2


@pytest.mark.alone
@pytest.mark.timeout(1200)
def test_no_page_costs_much_more_for_those_whom_policies_bind(tmp_path: Path) -> None:
    """On the embedded server as shipped; for each page and role the best of a few rounds counts."""
    variables = {**os.environ, "GHOSTCRM_HOME": str(tmp_path / "home")}
    best: dict[tuple[str, str], float] = {}
    try:
        for _ in range(ROUNDS):
            outcome = ghostcrm(
                "bench", "queries", "--contacts", CONTACTS, "--pairs", "60", "--json",
                environment=variables, timeout=600,
            )  # fmt: skip
            for cell in outcome.document["cells"]:
                key = (cell["query"], cell["role"])
                best[key] = min(cell["ratio"], best.get(key, cell["ratio"]))
            if max(best.values()) <= ALLOWED:
                break
    finally:
        ghostcrm("postgres", "stop", environment=variables)
    print(best)
    assert max(best.values()) <= ALLOWED, best
