"""Faults on request: each does what it says, as often as it was asked to, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.running_platform import RunningPlatform, create_project, wait_for

Asking = Callable[..., dict[str, Any]]


@pytest.fixture
def fault(caller: httpx.Client) -> Iterator[Asking]:
    """Asks for faults; takes them all back afterwards."""

    def ask(**fields: Any) -> dict[str, Any]:
        answer = caller.post("/platform/faults", json=fields)
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document

    yield ask
    caller.delete("/platform/faults")


def _body(platform: RunningPlatform, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "db_pass": "a password",
        "organization_slug": platform.organization,
        "region": "us-east-1",
    }


def _named(caller: httpx.Client, name: str) -> list[dict[str, Any]]:
    return [each for each in caller.get("/v1/projects").json() if each["name"] == name]


def _remove(caller: httpx.Client, name: str) -> None:
    for each in _named(caller, name):
        wait_for(caller, each["ref"])
        assert caller.delete(f"/v1/projects/{each['ref']}").is_success


@pytest.mark.long
def test_a_reply_is_lost_after_the_work_was_done(
    caller: httpx.Client, platform: RunningPlatform, fault: Asking
) -> None:
    name = f"lost {uuid4().hex[:6]}"
    fault(kind="drop_reply", method="POST", path="/v1/projects")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending"):
        caller.post("/v1/projects", json=_body(platform, name))
    assert len(_named(caller, name)) == 1
    # Used up: the next one is answered.
    assert caller.post("/v1/projects", json=_body(platform, name)).status_code == 400
    _remove(caller, name)


@pytest.mark.parametrize(("kind", "done"), [("error_before", 0), ("error_after", 1)])
def test_an_error_comes_before_the_work_or_after_it(
    caller: httpx.Client, platform: RunningPlatform, fault: Asking, kind: str, done: int
) -> None:
    name = f"{kind} {uuid4().hex[:6]}"
    fault(kind=kind, method="POST", path="/v1/projects", status=544 if done else 500)
    answer = caller.post("/v1/projects", json=_body(platform, name))
    assert answer.status_code == (544 if done else 500)
    assert answer.json().keys() == {"message"}
    assert len(_named(caller, name)) == done
    _remove(caller, name)


def test_too_many_requests_for_so_many_calls(caller: httpx.Client, fault: Asking) -> None:
    fault(kind="too_many_requests", path="/v1/profile", times=2, seconds=7)
    seen = [caller.get("/v1/profile") for _ in range(3)]
    assert [each.status_code for each in seen] == [429, 429, 200]
    assert (seen[0].headers["retry-after"], seen[0].headers["x-ratelimit-reset"]) == ("7", "7")
    assert seen[0].headers["x-ratelimit-remaining"] == "0"
    assert caller.get("/v1/organizations").is_success


def test_silence_lasts_as_long_as_asked(caller: httpx.Client, fault: Asking) -> None:
    fault(kind="silence", path="/v1/profile", seconds=0.3)
    began = time.monotonic()
    assert caller.get("/v1/profile").is_success
    assert time.monotonic() - began >= 0.3


def test_silence_is_over_and_its_work_done_when_it_is_taken_back(
    caller: httpx.Client, fault: Asking
) -> None:
    asked = fault(kind="silence", method="POST", path="/v1/organizations", seconds=3600)
    name = f"late {uuid4().hex[:6]}"
    with pytest.raises(httpx.ReadTimeout):
        caller.post("/v1/organizations", json={"name": name}, timeout=httpx.Timeout(60, read=0.3))
    assert name not in {each["name"] for each in caller.get("/v1/organizations").json()}
    assert caller.delete(f"/platform/faults/{asked['id']}").json()["met"] == 1
    assert name in {each["name"] for each in caller.get("/v1/organizations").json()}


def test_n_requests_meet_it_however_many_come_at_once(
    platform: RunningPlatform, fault: Asking
) -> None:
    fault(kind="error_before", path="/v1/prof*", times=5, status=503)

    def ask(_: int) -> int:
        with platform.caller() as client:
            return client.get("/v1/profile").status_code

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(ask, range(16)))
    assert sorted(seen) == [200] * 11 + [503] * 5


def test_a_stuck_project_goes_on_when_the_fault_is_taken_back(
    caller: httpx.Client, platform: RunningPlatform, fault: Asking
) -> None:
    asked = fault(kind="stuck", method="POST", path="/v1/projects", state="COMING_UP")
    ref = create_project(caller, platform.organization)["ref"]
    assert caller.get(f"/v1/projects/{ref}").json()["status"] == "COMING_UP"
    health = caller.get(f"/v1/projects/{ref}/health?services=db").json()
    assert health == [{"name": "db", "healthy": False, "status": "COMING_UP"}]
    assert caller.delete(f"/platform/faults/{asked['id']}").json()["met"] == 1
    assert wait_for(caller, ref)[-1] == "ACTIVE_HEALTHY"
    fault(kind="stuck", path=f"/v1/projects/{ref}/pause")
    assert caller.post(f"/v1/projects/{ref}/pause").is_success
    assert caller.post(f"/v1/projects/{ref}/restore").status_code in {200, 400}
    assert caller.get(f"/v1/projects/{ref}").json()["status"] == "PAUSING"


def test_two_projects_may_have_one_name_if_asked_for(
    caller: httpx.Client, platform: RunningPlatform, fault: Asking
) -> None:
    name = f"double {uuid4().hex[:6]}"
    fault(kind="duplicate_name", times=None)
    assert caller.post("/v1/projects", json=_body(platform, name)).status_code == 201
    assert caller.post("/v1/projects", json=_body(platform, name)).status_code == 201
    assert len(_named(caller, name)) == 2
    _remove(caller, name)


def test_a_fault_meets_the_projects_own_api_too(
    caller: httpx.Client, project: dict[str, Any], fault: Asking
) -> None:
    fault(kind="error_before", path=f"/project/{project['ref']}/auth/*", status=502)
    assert httpx.get(f"{project['url']}/auth/v1/health", timeout=60).status_code == 502
    assert httpx.get(f"{project['url']}/auth/v1/health", timeout=60).status_code == 200


def test_faults_are_listed_taken_back_and_checked(
    platform: RunningPlatform, caller: httpx.Client, fault: Asking
) -> None:
    assert httpx.get(f"{platform.url}/platform/faults", timeout=60).status_code == 401
    one = fault(kind="error_before", path="/v1/profile_", times=3)
    assert (one["remaining"], one["met"]) == (3, 0)
    assert [each["id"] for each in caller.get("/platform/faults").json()] == [one["id"]]
    # `_` and `%` are themselves.
    assert caller.get("/v1/profile").is_success
    for wrong in ({"kind": "earthquake"}, {"kind": "silence", "seconds": -1}, {"path": "*"}):
        assert caller.post("/platform/faults", json=wrong).status_code == 400
    assert len(caller.delete("/platform/faults").json()) == 1
    assert caller.delete(f"/platform/faults/{one['id']}").status_code == 404
