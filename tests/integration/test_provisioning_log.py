"""The log of a real provisioning: one JSON object a line, every field of the contract in each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ghostcrm_provisioning.provisioning.provision_client import PROVISION_CLIENT
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation
from tests.integration.control import are_ready, at_work, register
from tests.integration.small_blueprint import plan_that_fails_at_first, write_small_blueprint
from tests.integration.waiting import eventually

FIELDS = [
    "timestamp", "clientId", "clientName", "event", "status", "durationMs", "step", "attempt", "error",
]  # fmt: skip


def read_log(installation: Installation) -> list[dict[str, Any]]:
    """Every line of today's file, or of yesterday's, or of both, should it be midnight."""
    files = sorted(installation.settings.logs.iterdir())
    today = datetime.now(UTC)
    assert files
    assert {path.name for path in files} <= {
        f"provisioning-{day:%Y-%m-%d}.log" for day in (today, today - timedelta(days=1))
    }
    assert installation.settings.logs == installation.settings.home / "logs" / "provisioning"
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


async def test_every_step_and_the_outcome_have_a_line(installation: Installation) -> None:
    registered = await register(installation, "ACME 漢字 Corp")
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    lines = read_log(installation)
    for line in lines:
        assert list(line)[: len(FIELDS)] == FIELDS
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None
    ours = [line for line in lines if line["clientId"] == str(registered.client_id)]
    assert {line["clientName"] for line in ours} == {"ACME 漢字 Corp"}
    assert [line["event"] for line in ours] == [
        "client_registered", "run_started", *["step_done"] * 6, "run_succeeded",
    ]  # fmt: skip
    steps = [line for line in ours if line["event"] == "step_done"]
    assert [line["step"] for line in steps] == list(PROVISION_CLIENT.step_names)
    for line in steps:
        assert (line["status"], line["attempt"], line["error"]) == ("done", 1, None)
        assert line["durationMs"] >= 0
    outcome = ours[-1]
    assert outcome["status"] == "ready"
    assert outcome["durationMs"] >= max(line["durationMs"] for line in steps)


async def test_failed_attempts_and_their_reason_have_lines(
    opened: OpenInstallation, tmp_path: Path
) -> None:
    blueprint = write_small_blueprint(tmp_path / "slow", _002_plan=plan_that_fails_at_first(1))
    installation = await opened(blueprint=blueprint)
    await register(installation)
    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 1), what="it is ready")
    (line,) = [line for line in read_log(installation) if line["event"] == "step_postponed"]
    assert (line["status"], line["step"], line["attempt"]) == ("waiting", "apply_plan_settings", 1)
    assert line["error"]["code"] == "database_busy"
    assert line["waitSeconds"] > 0


async def test_a_final_failure_has_a_line(opened: OpenInstallation, tmp_path: Path) -> None:
    blueprint = write_small_blueprint(tmp_path / "broken", _002_broken="select 1/0;")
    installation = await opened(blueprint=blueprint)
    registered = await register(installation)
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    (line,) = [line for line in read_log(installation) if line["event"] == "run_failed"]
    assert (line["status"], line["step"], line["attempt"]) == ("failed", "acquire_database", 1)
    assert line["error"]["code"] == "migration_failed"
    assert line["error"]["details"]["file"] == "002_broken.sql"


@pytest.mark.parametrize("verbose", [False, True])
async def test_every_observation_has_a_line_when_that_is_asked_for(
    opened: OpenInstallation, small_blueprint: Path, monkeypatch: pytest.MonkeyPatch, verbose: bool
) -> None:
    monkeypatch.setenv("DEBUG_PROVISIONING", str(verbose).lower())
    installation = await opened(blueprint=small_blueprint)
    registered = await register(installation)
    await installation.provisioner.carry_out(registered.run_id, uuid4())
    observed = [line for line in read_log(installation) if line["event"] == "step_observed"]
    assert bool(observed) is verbose
    if verbose:
        assert {line["step"] for line in observed} == set(PROVISION_CLIENT.step_names)
