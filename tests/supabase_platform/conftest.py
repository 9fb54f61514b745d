"""Callers of the local platform, and projects there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running_platform import RunningPlatform, create_project, wait_for
from tests.supabase_platform.official import FOLDER, Description


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
    return httpx.Client(base_url=project["url"], headers=headers, timeout=60)
