"""Promise 5: it is fast, beside a bare CREATE DATABASE … TEMPLATE of the same template."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import ghostcrm

ALLOWED = 3.0
# Of the same bare copy: what the proof of isolation may add to a birth.
ALLOWED_PROOF = 0.15
ROUNDS = 20


@pytest.mark.alone
@pytest.mark.timeout(1200)
def test_accepted_to_ready_takes_at_most_three_times_a_bare_copy_and_the_proof_little_of_it(
    tmp_path: Path,
) -> None:
    """As `make demo` measures it, on the embedded server as shipped: medians, taken in turns. The
    machine may be busy with other things for a while, so the best of a few rounds counts."""
    variables = {**os.environ, "GHOSTCRM_HOME": str(tmp_path / "home")}
    ratios, proof_ratios = [], []
    try:
        for _ in range(ROUNDS):
            outcome = ghostcrm("demo", "--json", environment=variables, timeout=600)
            assert outcome.code == 0, outcome.stderr
            measured = outcome.document["measured"]
            ratios.append(measured["ratioOfMedians"])
            proof_ratios.append(measured["proofRatioOfMedians"])
            print(measured)
            if min(ratios) <= ALLOWED and min(proof_ratios) <= ALLOWED_PROOF:
                break
    finally:
        ghostcrm("postgres", "stop", environment=variables)
    assert min(ratios) <= ALLOWED, ratios
    assert min(proof_ratios) <= ALLOWED_PROOF, proof_ratios
