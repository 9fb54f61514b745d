"""What ``ghostcrm doctor`` says about Supabase, before the first client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.command import ghostcrm
from tests.running_platform import RunningPlatform
from tests.supabase_projects.conftest import Asking
from tests.supabase_projects.workers import Place

Environment = Any


def _findings(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    outcome = ghostcrm("doctor", "--json", environment=environment)
    found = {each["name"]: each for each in outcome.document["findings"]}
    supabase = {name: each for name, each in found.items() if name.startswith("Supabase")}
    failed = any(each["status"] == "failed" for each in found.values())
    assert outcome.code == int(failed), outcome.stderr
    for each in supabase.values():
        assert (each["status"] == "ok") == (each["nextStep"] is None)
    return supabase


@pytest.fixture
def with_supabase(environment: Environment, platform: RunningPlatform, place: Place) -> Environment:
    def set_(**changed: str) -> dict[str, str]:
        variables: dict[str, str] = {
            **environment(),
            "SUPABASE_API_URL": platform.url,
            "SUPABASE_ACCESS_TOKEN": platform.token,
            "SUPABASE_ORGANIZATION_SLUG": place.organization,
            "GHOSTCRM_SUPABASE_REGION": "emea",
        }
        return {**variables, **changed}

    return set_


def test_nothing_is_said_of_supabase_without_a_token(environment: Environment) -> None:
    assert _findings(environment()) == {}


def test_all_is_looked_at(with_supabase: Environment, place: Place) -> None:
    found = _findings(with_supabase())
    assert {name: each["status"] for name, each in found.items()} == {
        "Supabase token": "ok",
        "Supabase organization": "ok",
        "Supabase region": "ok",
        "Supabase projects": "warning",  # the plan free
    }
    assert place.organization in found["Supabase organization"]["seen"]
    assert "0 projects" in found["Supabase projects"]["seen"]


def test_what_is_wrong_is_said_with_what_to_do(with_supabase: Environment, fault: Asking) -> None:
    wrong_token = "sbp_" + "0" * 40
    found = _findings(with_supabase(SUPABASE_ACCESS_TOKEN=wrong_token))
    assert list(found) == ["Supabase token"]
    assert "SUPABASE_ACCESS_TOKEN" in found["Supabase token"]["nextStep"]
    assert wrong_token not in str(found)
    found = _findings(
        with_supabase(SUPABASE_ORGANIZATION_SLUG="nobody", GHOSTCRM_SUPABASE_REGION="mars-1")
    )
    assert "SUPABASE_ORGANIZATION_SLUG" in found["Supabase organization"]["nextStep"]
    assert [each["status"] for each in found.values()] == ["ok", "failed", "failed", "failed"]
    found = _findings(with_supabase(GHOSTCRM_SUPABASE_REGION="mars-1"))
    assert "eu-central-1" in found["Supabase region"]["nextStep"]
    found = _findings(with_supabase(GHOSTCRM_SUPABASE_REGION=""))
    assert "GHOSTCRM_SUPABASE_REGION" in found["Supabase region"]["nextStep"]
    found = _findings(with_supabase(SUPABASE_ORGANIZATION_SLUG=""))
    assert [each["status"] for each in found.values()] == ["ok", "warning", "warning", "warning"]
    found = _findings(with_supabase(SUPABASE_API_URL="http://127.0.0.1:1"))
    assert "SUPABASE_API_URL" in found["Supabase token"]["nextStep"]
