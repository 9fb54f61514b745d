"""Every answer of the platform is one that Supabase's own description of the API has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ghostcrm_provisioning.supabase_platform.application import ROUTERS
from ghostcrm_provisioning.supabase_platform.routes.projects import ProjectToCreate
from tests.running_platform import RunningPlatform, create_project, wait_for
from tests.supabase_platform.official import (
    FOLDER,
    Description,
    JudgedClient,
    nameless,
    recorded_exchanges,
)


def routes_of_the_platform() -> set[str]:
    """All of the Management API that we serve."""
    return {
        f"{method} {nameless(route.path)}"
        for router in ROUTERS
        for route in router.routes
        for method in getattr(route, "methods", ())
        if getattr(route, "path", "").startswith("/v1/")
    }


@pytest.fixture(scope="module")
def judged(platform: RunningPlatform, description: Description) -> Iterator[JudgedClient]:
    headers = {"Authorization": f"Bearer {platform.token}"}
    with JudgedClient(description, base_url=platform.url, headers=headers, timeout=60) as client:
        yield client


def test_every_route_that_is_served_is_in_the_description(description: Description) -> None:
    assert len(routes_of_the_platform()) > 35
    assert routes_of_the_platform() <= description.operations.keys()


def test_every_answer_is_as_described_and_no_route_is_left_out(
    judged: JudgedClient,
    platform: RunningPlatform,
    record_property: Any,
) -> None:
    ref = create_project(
        judged, platform.organization, region="us-east-1", desired_instance_size="micro"
    )["ref"]
    wait_for(judged, ref)
    _ask_about_the_user(judged, platform.organization)
    _ask_about_the_project(judged, ref)
    _change_the_project(judged, ref)
    _use_keys(judged, ref)
    _use_the_database(judged, ref)
    judged.post(f"/v1/projects/{ref}/pause")
    wait_for(judged, ref, "INACTIVE")
    judged.post(f"/v1/projects/{ref}/restore")
    wait_for(judged, ref)
    assert judged.delete(f"/v1/projects/{ref}").is_success
    left_out = routes_of_the_platform() - judged.seen
    assert not left_out, "no successful answer of these was judged"
    record_property("summary", f"operations of the Management API judged: {len(judged.seen)}")


def _ask_about_the_user(judged: JudgedClient, organization: str) -> None:
    judged.get("/v1/profile")
    judged.get("/v1/organizations")
    judged.post("/v1/organizations", json={"name": "Another"})
    judged.get(f"/v1/organizations/{organization}")
    judged.get(f"/v1/organizations/{organization}/members")
    judged.get(f"/v1/organizations/{organization}/projects?limit=1&sort=created_desc")
    judged.get(f"/v1/projects/available-regions?organization_slug={organization}")
    judged.get("/v1/projects")


def _ask_about_the_project(judged: JudgedClient, ref: str) -> None:
    for path in (
        "", "/health?services=auth&services=db&services=realtime", "/postgrest", "/config/auth",
        "/config/storage", "/config/database/pooler", "/network-restrictions", "/restore",
        "/database/backups", "/storage/buckets", "/advisors/security", "/advisors/performance",
        "/types/typescript",
    ):  # fmt: skip
        assert judged.get(f"/v1/projects/{ref}{path}").is_success, path


def _change_the_project(judged: JudgedClient, ref: str) -> None:
    judged.patch(f"/v1/projects/{ref}", json={"name": f"renamed {ref}"})
    judged.patch(f"/v1/projects/{ref}/postgrest", json={"max_rows": 10})
    judged.patch(f"/v1/projects/{ref}/config/auth", json={"disable_signup": True})
    judged.patch(f"/v1/projects/{ref}/config/storage", json={"fileSizeLimit": 1000})
    judged.patch(f"/v1/projects/{ref}/database/password", json={"password": "another one"})
    networks = {"dbAllowedCidrs": ["10.0.0.0/8"], "dbAllowedCidrsV6": []}
    judged.post(f"/v1/projects/{ref}/network-restrictions/apply", json=networks)
    judged.patch(f"/v1/projects/{ref}/network-restrictions", json={"add": networks})
    judged.get(f"/v1/projects/{ref}/network-restrictions")


def _use_keys(judged: JudgedClient, ref: str) -> None:
    base = f"/v1/projects/{ref}/api-keys"
    judged.get(base)
    new = judged.post(base, json={"type": "secret", "name": "another"}).json()
    judged.get(f"{base}/{new['id']}?reveal=true")
    judged.patch(f"{base}/{new['id']}", json={"description": "for a job"})
    judged.delete(f"{base}/{new['id']}")
    judged.get(f"{base}/legacy")
    judged.put(f"{base}/legacy?enabled=true")


def _use_the_database(judged: JudgedClient, ref: str) -> None:
    base = f"/v1/projects/{ref}/database"
    judged.post(f"{base}/query", json={"query": "create table public.x (i int)"})
    judged.post(f"{base}/query/read-only", json={"query": "select * from public.x"})
    # With something to find.
    assert judged.get(f"/v1/projects/{ref}/advisors/performance").json()["lints"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/projects/abcdefghijklmnopqrst", None, 404),
        ("GET", "/v1/projects/short", None, 400),
        ("GET", "/v1/organizations/nobody", None, 404),
        ("POST", "/v1/projects", {"name": "x"}, 400),
        ("POST", "/v1/projects", {"unknown": 1}, 400),
    ],
)
def test_every_refusal_is_a_message(
    judged: JudgedClient, method: str, path: str, body: Any, status: int
) -> None:
    assert judged.request(method, path, json=body).status_code == status


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": 1, "ref": "abc", "name": "x", "more": True},
        {"id": "not a number", "ref": "abc", "name": "x"},
    ],
)
def test_a_wrong_answer_does_not_pass(description: Description, answer: dict[str, Any]) -> None:
    path = "/v1/projects/abcdefghijklmnopqrst"
    with pytest.raises(AssertionError):
        description.judge("DELETE", path, 200, json.dumps(answer).encode(), strict=True)


def test_recorded_exchanges_are_as_described(description: Description) -> None:
    judged = 0
    for exchange in recorded_exchanges():
        request, response = exchange["request"], exchange["response"]
        body = json.dumps(response["body"]).encode()
        if request["body"] is not None:
            description.judge_request(
                request["method"], request["path"], json.dumps(request["body"]).encode()
            )
        description.judge(
            request["method"], request["path"], response["status"], body, strict=False
        )
        judged += 1
    assert judged >= 25


def test_recorded_requests_are_ones_that_the_platform_reads() -> None:
    if not FOLDER.exists():
        pytest.skip("the recorded exchanges are not there: ../shared/supabase")
    created = [
        ProjectToCreate.model_validate(exchange["request"]["body"])
        for exchange in recorded_exchanges()
        if (exchange["request"]["method"], exchange["request"]["path"]) == ("POST", "/v1/projects")
    ]
    assert {project.chosen_region for project in created} == {"us-east-1"}


def test_the_platform_answers_with_the_keys_that_were_recorded(
    caller: httpx.Client, project: dict[str, Any]
) -> None:
    if not FOLDER.exists():
        pytest.skip("the recorded exchanges are not there: ../shared/supabase")
    compared = set()
    for exchange in recorded_exchanges():
        request, recorded = exchange["request"], exchange["response"]
        path = request["path"].replace("abcdefghijklmnopqrst", project["ref"])
        if request["method"] != "GET" or recorded["status"] != 200 or "scenario" in exchange:
            continue
        ours = caller.get(path, params=request["query"]).json()
        for mine, theirs in _pairs(ours, recorded["body"]):
            # When restrictions were applied is told by some.
            assert mine.keys() == theirs.keys() - {"applied_at"}, path
        compared.add(path)
    assert len(compared) >= 8


def _pairs(ours: Any, theirs: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Documents that stand at the same place; in lists, those of the same kind."""
    if isinstance(ours, list):
        for mine in ours:
            for other in theirs:
                if mine.get("type") == other.get("type"):
                    yield mine, other
    elif ours.keys():
        yield ours, theirs
