"""Runs in lists, and a run's events until it has ended."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import httpx
import pytest

from ghostcrm_provisioning.access.scope import Scope
from ghostcrm_provisioning.api.documents.clients import (
    Client,
    Explanation,
)
from ghostcrm_provisioning.api.documents.document import (
    Listed,
)
from ghostcrm_provisioning.api.documents.runs import (
    Run,
    RunWithSteps,
)
from ghostcrm_provisioning.following import working
from ghostcrm_provisioning.wiring import Installation
from tests.api.conftest import Calling, Inhabited
from tests.api.documents import checked
from tests.api.test_streams import served

RUNS = "/api/admin/runs"


def events_of(text: str) -> list[dict[str, str]]:
    """The events in a stream that has ended; comments left out."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if "data" in fields:
            events.append(fields)
    return events


async def test_a_ready_client_is_described_explained_and_listed_with_its_run(
    inhabited: Inhabited,
) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_READ)
    client = checked(await caller.get(inhabited.path), Client)
    assert client["status"] == "ready"
    explanation = checked(await caller.get(f"{inhabited.path}/explain"), Explanation)
    assert explanation["sentence"] == "ACME Corp is ready."
    assert explanation["nextRequest"] is None
    runs = checked(await caller.get(f"{inhabited.path}/runs"), Listed[Run])
    assert [run["id"] for run in runs["data"]] == [client["runId"]]
    everybodys = checked(await caller.get(RUNS), Listed[Run])
    assert everybodys == runs
    for name, value, count in (
        ("status", "succeeded", 1),
        ("status", "failed", 0),
        ("kind", "provision_client", 1),
        ("kind", "change_plan", 0),
    ):
        filtered = checked(await caller.get(RUNS, params={name: value}), Listed[Run])
        assert len(filtered["data"]) == count
    timeline = checked(await caller.get(f"{inhabited.path}/timeline"), Listed[RunWithSteps])
    steps = timeline["data"][0]["steps"]
    assert [step["position"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step["attempts"][0]["outcome"] for step in steps] == ["done"] * 6


async def test_a_run_that_has_ended_is_told_once(inhabited: Inhabited) -> None:
    caller = await inhabited.calling(Scope.CLIENTS_READ)
    run_id = (await caller.get(inhabited.path)).json()["runId"]
    answer = await caller.get(f"{RUNS}/{run_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "retry: 3000" in answer.text
    told, end = events_of(answer.text)
    assert told["event"] == "run"
    assert json.loads(told["data"]) == checked(await caller.get(f"{RUNS}/{run_id}"), RunWithSteps)
    assert end["event"] == "end"
    back = await caller.get(f"{RUNS}/{run_id}/events", headers={"Last-Event-ID": end["id"]})
    assert back.status_code == 204


async def test_the_steps_of_a_run_are_told_as_they_happen(
    calling: Calling, installation: Installation
) -> None:
    """Over a real connection: a worker begins when the run was told of once."""
    token = (await calling(Scope.CLIENTS_READ, Scope.CLIENTS_WRITE)).headers["Authorization"]
    text = ""
    async with (
        served(installation) as serving,
        httpx.AsyncClient(
            base_url=serving.url, headers={"Authorization": token}, timeout=60
        ) as caller,
        AsyncExitStack() as resources,
    ):
        accepted = await caller.post(
            "/api/admin/provision-client",
            json={"clientData": {"name": "ACME Corp", "adminEmail": "admin@acme.com"}},
        )
        path = f"{RUNS}/{accepted.json()['runId']}/events"
        is_working = False
        async with caller.stream("GET", path) as stream:
            async for line in stream.aiter_lines():
                text += f"{line}\n"
                if line.startswith("data: ") and not is_working:
                    await resources.enter_async_context(working(installation))
                    is_working = True
        assert serving.site.announcements.watchers == 0, "nobody listens any more"
    *told, end = events_of(text)
    documents = [json.loads(event["data"]) for event in told]
    assert documents[-1]["status"] == "succeeded"
    assert (len(documents) >= 2, documents[0]["status"]) == (True, "queued")
    done = [sum(step["status"] == "done" for step in document["steps"]) for document in documents]
    assert done == sorted(done)
    assert done[-1] == 6
    assert len({event["id"] for event in told}) == len(told)
    assert end["id"] == told[-1]["id"]


@pytest.mark.parametrize("path", [RUNS, "/api/admin/queue"])
async def test_a_parameter_that_there_is_not_is_refused(calling: Calling, path: str) -> None:
    caller = await calling(Scope.ADMIN)
    answer = await caller.get(path, params={"statsu": "failed"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "unknown_parameter"
    assert "statsu" in answer.json()["detail"]
