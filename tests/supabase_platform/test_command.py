"""The command: it says how to be used, keeps what it is across restarts, and survives being killed."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from ghostcrm_provisioning.errors import CannotListen
from ghostcrm_provisioning.settings import Settings
from ghostcrm_provisioning.supabase_platform.rate_limit import RateLimit
from ghostcrm_provisioning.supabase_platform.serving import run_platform
from tests.conftest import Server
from tests.running_platform import (
    RunningPlatform,
    create_project,
    new_home,
    start_platform,
    wait_for,
)


@pytest.mark.long
def test_what_was_begun_is_finished_by_the_next_one(server: Server, tmp_path: Path) -> None:
    environment = new_home(server, tmp_path)
    first = start_platform(environment, "--coming-up", "0")
    with first.caller() as caller:
        refs = [create_project(caller, first.organization)["ref"] for _ in range(3)]
        first.kill()
    second = start_platform(environment, "--coming-up", "0", "--rate-limit", "50")
    try:
        assert (second.token, second.organization) == (first.token, first.organization)
        with second.caller() as caller:
            for ref in refs:
                wait_for(caller, ref)
                keys = caller.get(f"/v1/projects/{ref}/api-keys").json()
                assert [key["type"] for key in keys[2:]] == ["publishable", "secret"]
            _the_budget_is_real(second)
    finally:
        code = second.stop()
    assert code == 0
    _nothing_secret_lies_open(Path(environment["GHOSTCRM_HOME"]), second.token)


def _the_budget_is_real(platform: RunningPlatform) -> None:
    with platform.caller() as caller:
        answers = [caller.get("/v1/profile") for _ in range(51)]
    left = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]
    assert left == [*range(49, -1, -1), 0]
    assert [answer.status_code for answer in answers] == [200] * 50 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json() == {"message": "ThrottlerException: Too Many Requests"}


def _nothing_secret_lies_open(home: Path, token: str) -> None:
    folder = home / "platform"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    holding = [path for path in home.rglob("*") if path.is_file() and token in path.read_text()]
    assert [path.name for path in holding] == ["access-token"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    for path in home.rglob("*.log"):
        assert "the owner's own password" not in path.read_text()


async def test_a_port_that_is_taken_is_said_before_anything_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(CannotListen) as refused:
        await run_platform(
            Settings(home=tmp_path / "home"),
            host="127.0.0.1",
            port=other.getsockname()[1],
            coming_up_seconds=0,
            per_minute=1,
            announce=lambda *_: None,
        )
    assert "--port" in refused.value.next_step
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("key", [("GET", "/v1/projects", "user"), ("POST", "/v1/projects", "acme")])
def test_each_endpoint_and_organization_has_a_budget_of_its_own(key: tuple[str, ...]) -> None:
    limit = RateLimit(2)
    other = limit.spend("GET", "/v1/profile", "user")
    assert [limit.spend(*key).remaining for _ in range(3)] == [1, 0, 0]
    assert limit.spend(*key).exceeded
    assert not other.exceeded
    assert not limit.spend("GET", "/v1/profile", "user").exceeded
