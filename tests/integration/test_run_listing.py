"""Lists of runs, and the timeline of a client: every step and every attempt, also from before a retry."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ghostcrm_provisioning.clients.documents import run_row_document, run_timeline_document
from ghostcrm_provisioning.clients.listing import STATUSES, Place
from ghostcrm_provisioning.clients.run_listing import (
    RUN_KINDS,
    RUN_STATUSES,
    RunFilter,
    list_runs,
    read_run_timeline,
    read_timeline,
)
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import NotFound
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import OpenInstallation, Server
from tests.integration.control import are_ready, at_work, fetch, list_attempts, register
from tests.integration.filled_control import connect, fill
from tests.integration.waiting import eventually
from tests.prepared_control import PreparedControl
from tests.provisioned import new_installation


@pytest.fixture(scope="module")
def filled_url(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> str:
    environment = new_installation(server, prepared_control, tmp_path_factory.mktemp("runs"))
    url = environment["GHOSTCRM_DATABASE_URL"]
    fill(url, clients=120, changes=2)
    return url


async def test_every_combination_of_filters_finds_what_a_plain_look_at_all_runs_finds(
    filled_url: str,
) -> None:
    with connect(filled_url) as connection:
        runs = connection.execute(
            "select id, client_id, kind::text, status::text from runs order by created_at desc, id desc"
        ).fetchall()
    statuses: tuple[tuple[str, ...], ...] = ((), ("failed",), ("queued", "failed"), ("succeeded",))
    kinds: tuple[tuple[str, ...], ...] = ((), ("provision_client",), RUN_KINDS)
    async with ControlDatabase(filled_url) as control, control.connection() as own:
        for status, kind, client_id in product(statuses, kinds, (None, runs[5]["client_id"])):
            wanted = RunFilter(status, kind, client_id)
            expected = [
                run["id"]
                for run in runs
                if (not status or run["status"] in status)
                and (not kind or run["kind"] in kind)
                and (client_id is None or run["client_id"] == client_id)
            ]
            seen: list[UUID] = []
            place: Place | None = None
            while True:
                page = await list_runs(own, wanted, limit=150, after=place)
                seen += [row["id"] for row in page.rows]
                place = page.next_place
                if place is None:
                    break
            assert seen == expected, wanted
        for row in (await list_runs(own, RunFilter(statuses=("failed",)), limit=3)).rows:
            document = run_row_document(row)
            json.dumps(document)
            assert document["step"] == "apply_plan_settings"
            assert document["error"]["code"]
            assert document["durationMs"] > 0


async def test_a_timeline_has_every_run_step_and_attempt_of_the_client(filled_url: str) -> None:
    with connect(filled_url) as connection:
        (client,) = connection.execute(
            "select client_id as id from runs where kind = 'change_plan' order by id limit 1"
        ).fetchall()
        counted = connection.execute(
            "select count(distinct s.run_id) as runs, count(distinct (s.run_id, s.position)) as steps,"
            " count(a.run_id) as attempts from runs r join steps s on s.run_id = r.id left join"
            " step_attempts a on a.run_id = s.run_id and a.position = s.position where r.client_id = %s",
            (client["id"],),
        ).fetchone()
    async with ControlDatabase(filled_url) as control, control.connection() as own:
        page = await read_timeline(own, client["id"])
        steps = [step for run in page.runs for step in run.steps]
        assert counted == {
            "runs": len(page.runs),
            "steps": len(steps),
            "attempts": sum(len(step.attempts) for step in steps),
        }
        assert [run.run.created_at for run in page.runs] == sorted(
            (run.run.created_at for run in page.runs), reverse=True
        )
        for run in page.runs:
            assert [step.step.position for step in run.steps] == list(range(1, len(run.steps) + 1))
        first = await read_timeline(own, client["id"], limit=1)
        second = await read_timeline(own, client["id"], limit=5, after=first.next_place)
        assert first.runs + second.runs == page.runs
        assert (await read_timeline(own, uuid4())).runs == []
        with pytest.raises(NotFound):
            await read_run_timeline(own, uuid4())


async def test_the_timeline_of_a_real_run_that_failed_and_was_retried(
    opened: OpenInstallation, small_blueprint: Path
) -> None:
    installation: Installation = await opened(blueprint=small_blueprint, max_attempts=1)
    registered = await register(installation)
    # As a worker that failed at the first step has left it.
    await installation.control.execute(
        "insert into step_attempts (run_id, position, fence, attempt, worker_id, outcome, finished_at,"
        " error) values (%(id)s, 1, 0, 1, gen_random_uuid(), 'failed', clock_timestamp(), '{}')",
        id=registered.run_id,
    )
    async with at_work(installation):
        await eventually(lambda: are_ready(installation, 1), what="the client is ready")
    async with installation.control.connection() as connection:
        timeline = await read_run_timeline(connection, registered.run_id)
    document = run_timeline_document(timeline)
    json.dumps(document)
    assert document["status"] == "succeeded"
    attempts = [
        (step["name"], attempt["attempt"], attempt["outcome"])
        for step in document["steps"]
        for attempt in step["attempts"]
    ]
    assert Counter(attempts) == Counter(await list_attempts(installation, registered.run_id))
    first = document["steps"][0]
    assert [attempt["outcome"] for attempt in first["attempts"]] == ["failed", "done"]
    for step in document["steps"]:
        assert step["status"] == "done"
        assert step["durationMs"] is not None
        assert step["observation"]
    assert "planChange" not in document


async def test_the_statuses_and_kinds_are_those_of_the_control_database(
    installation: Installation,
) -> None:
    row = await fetch(
        installation,
        "select enum_range(null::run_status)::text[] as statuses,"
        " enum_range(null::run_kind)::text[] as kinds,"
        " enum_range(null::client_status)::text[] as client_statuses",
    )
    assert tuple(row["statuses"]) == RUN_STATUSES
    assert tuple(row["kinds"]) == RUN_KINDS
    assert tuple(row["client_statuses"]) == STATUSES
