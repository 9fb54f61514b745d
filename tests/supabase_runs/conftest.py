"""An organization at the local platform for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Server
from tests.integration.small_blueprint import write_small_blueprint
from tests.prepared_control import PreparedControl
from tests.running_platform import RunningPlatform
from tests.supabase_runs.clients import World
from tests.supabase_runs.door import send_or_be_refused


@pytest.fixture
def world(
    server: Server,
    platform: RunningPlatform,
    prepared_control: PreparedControl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """An organization in which a project may have the name of another one: the platform is not to be of
    help."""
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", send_or_be_refused)
    with platform.caller() as caller:
        made = caller.post("/v1/organizations", json={"name": "an organization"}).json()
        asked = caller.post("/platform/faults", json={"kind": "duplicate_name", "times": None})
        assert asked.status_code == 201, asked.text
        yield World(
            server,
            platform,
            made["slug"],
            prepared_control,
            write_small_blueprint(tmp_path / "small"),
            tmp_path,
        )
        caller.delete("/platform/faults")
