"""What ``ghostcrm doctor`` says about Supabase, before the first client."""

from __future__ import annotations

from typing import Any

import pytest

from ghostcrm_provisioning.providers.supabase import examination, sensible_settings
from ghostcrm_provisioning.settings import read_settings
from tests.command import ghostcrm
from tests.running_platform import RunningPlatform
from tests.supabase_projects.conftest import Asking
from tests.supabase_projects.workers import Place, Worker

pytestmark = pytest.mark.long

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
            "GHOSTCRM_SUPABASE_SITE_URL": "https://crm.example.com",
            "GHOSTCRM_SUPABASE_SMTP_URL": "smtp://u:hunter2@smtp.example.com?from=a@example.com",
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
        "Supabase sign-in": "ok",
        "Supabase mail": "ok",
        "Supabase networks": "ok",
        "Supabase plans": "ok",
    }
    assert "hunter2" not in str(found)
    assert "smtp.example.com:587, as a@example.com" in found["Supabase mail"]["seen"]
    assert "starter: emea, smallest size, files of 50 MB" in found["Supabase plans"]["seen"]
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
    assert [each["status"] for each in found.values()][:4] == ["ok", "failed", "failed", "failed"]
    found = _findings(with_supabase(GHOSTCRM_SUPABASE_REGION="mars-1"))
    assert "eu-central-1" in found["Supabase region"]["nextStep"]
    found = _findings(with_supabase(GHOSTCRM_SUPABASE_REGION=""))
    assert "GHOSTCRM_SUPABASE_REGION" in found["Supabase region"]["nextStep"]
    found = _findings(with_supabase(SUPABASE_ORGANIZATION_SLUG=""))
    assert [each["status"] for each in found.values()][:4] == [
        "ok",
        "warning",
        "warning",
        "warning",
    ]
    found = _findings(with_supabase(SUPABASE_API_URL="http://127.0.0.1:1"))
    assert "SUPABASE_API_URL" in found["Supabase token"]["nextStep"]


@pytest.mark.parametrize(
    ("region", "regions", "status", "said"),
    [
        ("emea", "enterprise=mars-1", "failed", "GHOSTCRM_SUPABASE_REGIONS (enterprise)"),
        ("", "enterprise=apac", "warning", "enterprise=apac; for other plans not set"),
        ("emea", "enterprise=apac", "ok", "emea, enterprise=apac"),
    ],
)
async def test_regions_by_plan_are_looked_at_too(
    region: str,
    regions: str,
    status: str,
    said: str,
    worker: Worker,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUPABASE_ORGANIZATION_SLUG", place.organization)
    monkeypatch.setenv("GHOSTCRM_SUPABASE_REGION", region)
    monkeypatch.setenv("GHOSTCRM_SUPABASE_REGIONS", regions)
    examined = await examination.examine_region(worker.api, read_settings())
    assert examined.status == status
    assert said in f"{examined.seen} {examined.next_step}"


@pytest.mark.parametrize(
    ("look", "variables", "seen"),
    [
        ("sign_in", {}, "no site URL"),
        ("sign_in", {"SITE_URL": "http://crm.example.com"}, "read on the way"),
        ("sign_in", {"SITE_URL": "http://localhost:3000"}, None),
        ("sign_in", {"SITE_URL": "https://a.example.com", "REDIRECT_URLS": "https://**"}, "any site"),
        ("sign_in", {"SITE_URL": "https://a.example.com", "REDIRECT_URLS": "https://*.*/x"}, "any site"),
        ("sign_in", {"SITE_URL": "https://a.example.com", "REDIRECT_URLS": "https://*.example.com/** crm://x"}, None),
        ("sign_in", {"SITE_URL": "https://a.example.com", "ALLOW_SIGNUPS": "true"}, "anybody may sign up"),
        ("mail", {}, "Supabase's own server"),
        ("networks", {}, None),
        ("networks", {"ALLOWED_NETWORKS": "203.0.113.0/24"}, "a network of its own"),  # for examples
        ("networks", {"ALLOWED_NETWORKS": "8.8.8.0/24 10.0.0.0/8"}, "10.0.0.0/8"),
        ("networks", {"ALLOWED_NETWORKS": "8.8.8.0/24 0.0.0.0/0"}, "lets everybody in"),
        ("networks", {"ALLOWED_NETWORKS": "8.8.8.0/24 ::/0"}, None),
        ("networks", {"ALLOWED_NETWORKS": "8.8.8.0/24 2a00:1450::/32"}, None),
        ("networks", {"ALLOWED_NETWORKS": "0.0.0.0/0 ::/0"}, None),
        ("plans", {}, None),
        ("plans", {"REGIONS": "starter=emea", "INSTANCE_SIZES": "pro=4xlarge"}, None),
        ("plans", {"REGIONS": "startre=emea"}, "startre"),
        ("plans", {"LARGEST_FILES": "x=5GB"}, "GHOSTCRM_SUPABASE_LARGEST_FILES"),
        ("plans", {"INSTANCE_SIZES": "pro=huge"}, "size huge"),
    ],
)  # fmt: skip
def test_what_is_hardly_meant_is_said(
    look: str, variables: dict[str, str], seen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"GHOSTCRM_SUPABASE_{name}", value)
    settings = read_settings()
    examined = {
        "sign_in": lambda: sensible_settings.examine_sign_in(settings),
        "mail": lambda: sensible_settings.examine_mail(settings),
        "networks": lambda: sensible_settings.examine_networks(settings),
        "plans": lambda: sensible_settings.examine_plans(settings, ["starter", "pro"]),
    }[look]()
    assert (examined.status == "ok") == (seen is None) == (examined.next_step is None), examined
    assert seen is None or seen in examined.seen


def test_a_provider_without_its_token_and_clients_that_are_not_reached_are_said(
    with_supabase: Environment,
) -> None:
    """Whatever the provider of the next client is."""
    environment = with_supabase() | {"GHOSTCRM_PROVIDER": "supabase"}
    accepted = ghostcrm(
        "provision", "ACME", "--admin-email", "ada@example.com", "--no-wait", "--json",
        environment=environment,
    )  # fmt: skip
    assert accepted.code == 0, accepted.stderr
    without = {name: value for name, value in environment.items() if "ACCESS_TOKEN" not in name}
    for provider in ("supabase", "postgres"):
        outcome = ghostcrm(
            "doctor", "--json", environment=without | {"GHOSTCRM_PROVIDER": provider}
        )
        found = {each["name"]: each for each in outcome.document["findings"]}
        assert outcome.code == 1
        assert "1 at supabase-" in found["Clients"]["seen"]
        assert "SUPABASE_ACCESS_TOKEN" in found["Clients"]["nextStep"]
        assert ("Supabase token" in found) == (provider == "supabase")
