"""Promise 5: it is fast, beside a bare CREATE DATABASE … TEMPLATE of the same template."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import ghostcrm

ALLOWED = 3.0
ROUNDS = 6


@pytest.mark.alone
def test_accepted_to_ready_takes_at_most_three_times_a_bare_copy(tmp_path: Path) -> None:
    """As `make demo` measures it, on the embedded server as shipped: medians, taken in turns. The
    machine may be busy with other things for a while, so the best of a few rounds counts."""
    variables = {**os.environ, "GHOSTCRM_HOME": str(tmp_path / "home")}
    ratios = []
    try:
        for _ in range(ROUNDS):
            outcome = ghostcrm("demo", "--json", environment=variables)
            assert outcome.code == 0, outcome.stderr
            measured = outcome.document["measured"]
            ratios.append(measured["ratioOfMedians"])
            print(measured)
            if ratios[-1] <= ALLOWED:
                break
    finally:
        ghostcrm("postgres", "stop", environment=variables)
    assert min(ratios) <= ALLOWED, ratios
