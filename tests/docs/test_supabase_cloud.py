"""The how-to for Supabase, gone through at the local platform: its settings and commands, as they are shown."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.command import Outcome, ghostcrm
from tests.conftest import Server
from tests.docs.pages import ROOT, blocks
from tests.running_platform import RunningPlatform, new_home, running_platform

pytestmark = pytest.mark.long

_PAGE = ROOT / "docs" / "how-to" / "supabase-cloud.md"


@pytest.fixture(scope="module")
def platform(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    environment = new_home(server, tmp_path_factory.mktemp("platform"))
    with running_platform(environment, "--coming-up", "0.2") as started:
        yield started


def _lines() -> Iterator[str]:
    """Of the shell blocks, up to the local platform, in whose place ours is."""
    shown = [line for block in blocks(_PAGE, "sh") for line in block.text.splitlines()]
    yield from shown[: shown.index("ghostcrm platform --port 8789")]


def _settings(platform: RunningPlatform) -> dict[str, str]:
    """Those that the page exports, of this platform."""
    exported = [line.removeprefix("export ") for line in _lines() if line.startswith("export ")]
    found = dict(part.split("=", 1) for line in exported for part in shlex.split(line))
    assert {"GHOSTCRM_PROVIDER", "GHOSTCRM_SUPABASE_SMTP_URL"} <= set(found)
    found.pop("GHOSTCRM_SUPABASE_ALLOWED_NETWORKS")  # of a section of its own
    return found | {
        "SUPABASE_API_URL": platform.url,
        "SUPABASE_ACCESS_TOKEN": platform.token,
        "SUPABASE_ORGANIZATION_SLUG": platform.organization,
    }


def test_the_page_leads_to_a_client_in_a_project_that_is_set_as_it_says(
    platform: RunningPlatform, environment: Callable[..., dict[str, str]]
) -> None:
    variables = environment() | _settings(platform)
    outcomes: dict[str, Outcome] = {}
    client_id = ""
    for line in _lines():
        words = shlex.split(line)
        if not line.startswith("ghostcrm ") or words[1:3] == ["clients", "psql"]:
            continue
        arguments = [client_id if word == "52d3a2c1" else word for word in words[1:]]
        outcomes[line] = ghostcrm(*arguments, "--json", environment=variables)
        assert outcomes[line].code == 0, (line, outcomes[line].stdout, outcomes[line].stderr)
        if words[1] == "provision":
            client = outcomes[line].document
            assert client["status"] == "ready", client
            client_id = client["id"]
    found = {
        each["name"]: each["status"] for each in outcomes["ghostcrm doctor"].document["findings"]
    }
    for line in _shown_by_doctor():
        assert line in found, line
    assert {name for name, status in found.items() if "Supabase" in name and status != "ok"} == {
        "Supabase projects"  # the platform's organization has the plan free
    }
    _look_at_the_project(outcomes["ghostcrm clients connect 52d3a2c1"].document)


def _shown_by_doctor() -> list[str]:
    [shown] = [block.text for block in blocks(_PAGE, "text")]
    return [line.removeprefix("✓ ").split("  ")[0] for line in shown.splitlines()]


def _look_at_the_project(connection: dict[str, Any]) -> None:
    with httpx.Client(base_url=connection["supabaseUrl"], timeout=300) as anybody:
        of_anybody = {"apikey": connection["anonKey"]}
        of_a_server = {"apikey": connection["serviceRoleKey"]}
        settings = anybody.get("/auth/v1/settings", headers=of_anybody).json()
        assert settings["disable_signup"] is True
        assert settings["external"]["anonymous_users"] is False
        hidden = anybody.get(
            "/rest/v1/stamp", headers=of_anybody | {"Accept-Profile": "ghostcrm_provisioning"}
        )
        assert hidden.status_code == 406, hidden.text
        assert anybody.get("/storage/v1/bucket", headers=of_anybody).json() == []
        [bucket] = anybody.get("/storage/v1/bucket", headers=of_a_server).json()
    assert (bucket["id"], bucket["public"]) == ("files", False)
    assert bucket["file_size_limit"] == 50 * 1024**2
