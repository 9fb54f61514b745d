"""One running platform for the tests of a process, and callers of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Server
from tests.running_platform import (
    RunningPlatform,
    create_project,
    new_home,
    running_platform,
    wait_for,
)
from tests.supabase_platform.official import FOLDER, Description


@pytest.fixture(scope="session")
def platform(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """Quick to come up, and with a budget that no test uses up."""
    environment = new_home(server, tmp_path_factory.mktemp("platform"))
    with running_platform(environment, "--coming-up", "0.2", "--rate-limit", "100000") as started:
        yield started


@pytest.fixture
def caller(platform: RunningPlatform) -> Iterator[httpx.Client]:
    """Somebody with the access token."""
    with platform.caller() as client:
        yield client


@pytest.fixture(scope="session")
def description() -> Description:
    """The official description of the Management API."""
    path = FOLDER / "management_api_v1.json"
    if not path.exists():
        pytest.skip(f"the official description is not there: {path.name} in ../shared/supabase")
    return Description(path)


@pytest.fixture(scope="module")
def project(platform: RunningPlatform) -> dict[str, Any]:
    """A project that the tests of a module share, with the keys of its API."""
    with platform.caller() as client:
        made = create_project(client, platform.organization)
        wait_for(client, made["ref"])
        keys = client.get(f"/v1/projects/{made['ref']}/api-keys?reveal=true").json()
    return made | {
        "anon": keys[0]["api_key"],
        "service_role": keys[1]["api_key"],
        "publishable": keys[2]["api_key"],
        "secret": keys[3]["api_key"],
        "url": f"{platform.url}/project/{made['ref']}",
    }


def with_key(project: dict[str, Any], key: str = "service_role") -> httpx.Client:
    """Somebody who calls the project's own API with one of its keys."""
    value = project[key]
    headers = {"apikey": value, "Authorization": f"Bearer {value}"}
    return httpx.Client(base_url=project["url"], headers=headers, timeout=30)
