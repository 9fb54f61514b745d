"""The admin API is as quick with very many clients as with few: `ghostcrm bench api` says how quick."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import ghostcrm
from tests.integration.small_blueprint import write_small_blueprint


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_both_sides_are_read_while_clients_are_provisioned_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    """With few clients on either side: the ratio says nothing, the measuring is what is tried."""
    home = tmp_path / "home"
    outcome = ghostcrm(
        "bench", "api", "--few", "100", "--many", "200", "--changes", "1", "--readers", "4",
        "--seconds", "1", "--turns", "1", "--rounds", "1", "--json",
        environment={
            **os.environ,
            "GHOSTCRM_HOME": str(home),
            "GHOSTCRM_BLUEPRINT": str(write_small_blueprint(tmp_path / "small")),
        },
        timeout=880,
    )  # fmt: skip
    document = outcome.document
    assert "cells" in document, outcome.stderr
    assert [cell["kind"] for cell in document["cells"]] == ["list", "search", "filter", "status"]
    for cell in document["cells"]:
        assert cell["requests"] >= 40
        assert 0 < cell["fewP50Ms"] <= cell["fewP95Ms"]
        assert cell["ratio"] > 0
        assert cell["passes"] == (cell["ratio"] <= document["limit"])
    assert document["passes"] == all(cell["passes"] for cell in document["cells"])
    assert outcome.code == (0 if document["passes"] else 1)
    assert document["provisioned"] >= 2
    profile = document["profile"]
    assert 0 < profile["ownCodeMs"] < profile["wallMs"]
    assert len(profile["functions"]) == 15
    assert list(home.iterdir()) == []
