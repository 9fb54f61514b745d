"""The numbers of the overview are those of the rows, read once for all who ask."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any
from uuid import uuid4

import pytest

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.statistics import shared as shared_readings
from ghostcrm_provisioning.statistics.attention import Concern, find_concerns
from ghostcrm_provisioning.statistics.numbers import (
    QueueNumbers,
    ServerNumbers,
    WaitingClient,
    WorkerNumbers,
)
from ghostcrm_provisioning.statistics.reading import Statistics
from ghostcrm_provisioning.statistics.shared import LONGEST_LIFETIME_SECONDS, Shared
from ghostcrm_provisioning.statistics.time_to_ready import Window
from ghostcrm_provisioning.wiring import Installation
from tests.conftest import Server
from tests.integration.control import register
from tests.integration.filled_control import connect, fill
from tests.prepared_control import PreparedControl
from tests.provisioned import new_installation

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def filled_url(
    server: Server, prepared_control: PreparedControl, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A control database with a month's history; these tests only read it."""
    environment = new_installation(server, prepared_control, tmp_path_factory.mktemp("statistics"))
    url = environment["GHOSTCRM_DATABASE_URL"]
    fill(url, clients=400, changes=1)
    return url


def statistics_of(control: ControlDatabase) -> Statistics:
    return Statistics(control, lease_seconds=6, concurrency_per_server=4)


def rows_of(url: str, query: str) -> list[dict[str, Any]]:
    with connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_the_overview_counts_what_is_there(filled_url: str) -> None:
    async with ControlDatabase(filled_url) as control:
        document = (await statistics_of(control).overview()).as_document()
    statuses = Counter(
        row["status"] for row in rows_of(filled_url, "select status::text from clients")
    )
    assert document["clients"] == {"total": 400, "byStatus": dict(statuses)}
    placed = Counter(
        row["name"]
        for row in rows_of(
            filled_url,
            "select s.name from client_databases d join servers s on s.id = d.server_id",
        )
    )
    for each in document["servers"]:
        assert each["clients"] == placed[each["name"]]
        if each["clientLimit"] is not None:
            assert each["headroom"] == each["clientLimit"] - each["clients"]
        assert each["accepting"]
    assert document["queue"]["queueLength"] == document["queue"]["processing"] == 0
    assert document["queue"]["utilisation"] is None
    assert document["workers"] == {"alive": 0, "busy": 0, "list": []}
    newest = rows_of(
        filled_url, "select id::text from runs order by created_at desc, id desc limit 10"
    )
    assert [each["id"] for each in document["recentOperations"]] == [row["id"] for row in newest]


async def test_what_has_failed_needs_attention_and_the_rest_is_counted(filled_url: str) -> None:
    async with ControlDatabase(filled_url) as control:
        overview = await statistics_of(control).overview()
    concerns = overview.concerns
    assert concerns[-1].code == "no_workers"
    for code, status in (("client_failed", "failed"), ("client_quarantined", "quarantined")):
        of_code = [concern for concern in concerns if concern.code == code]
        assert sum(concern.count for concern in of_code) == overview.clients[status]
        assert all(concern.severity == "critical" for concern in of_code)
        named = {concern.client_id for concern in of_code if concern.client_id}
        known = rows_of(filled_url, f"select id from clients where status = '{status}'")
        assert named <= {row["id"] for row in known}
        assert len(named) == min(5, len(known))


@pytest.mark.parametrize("window", Window)
async def test_the_time_to_ready_is_that_of_the_runs(filled_url: str, window: Window) -> None:
    async with ControlDatabase(filled_url) as control:
        found = await statistics_of(control).time_to_ready(window)
    runs = rows_of(
        filled_url,
        "select finished_at, extract(epoch from finished_at - queued_at)::float8 * 1000 as ms from runs"
        " where kind = 'provision_client' and status = 'succeeded'",
    )
    assert found.whole.end - found.whole.begin == window.length
    assert found.buckets[0].begin == found.whole.begin
    assert found.buckets[-1].end == found.whole.end > found.at
    for before, after in zip(found.buckets, found.buckets[1:], strict=False):
        assert before.end == after.begin
    for times in (found.whole, *found.buckets):
        taken = sorted(run["ms"] for run in runs if times.begin <= run["finished_at"] < times.end)
        assert times.clients == len(taken)
        if not taken:
            assert times.p50_ms is times.p95_ms is None
            continue
        expected = quantiles(
            [*taken, *taken] if len(taken) == 1 else taken, n=20, method="inclusive"
        )
        assert times.p50_ms == pytest.approx(expected[9])
        assert times.p95_ms == pytest.approx(expected[18])
    assert found.whole.clients == sum(bucket.clients for bucket in found.buckets) > 0


async def test_a_bucket_without_clients_is_a_gap_and_no_zero(installation: Installation) -> None:
    found = await statistics_of(installation.control).time_to_ready()
    document = found.as_document()
    assert len(document["buckets"]) == 48
    assert {bucket["p50Ms"] for bucket in document["buckets"]} == {None}
    assert document["p95Ms"] is None


@pytest.mark.parametrize("window", Window)
async def test_failures_are_grouped_by_their_cause(filled_url: str, window: Window) -> None:
    def look() -> list[dict[str, Any]]:
        return rows_of(
            filled_url,
            "select r.error ->> 'code' as code, r.kind::text, s.name as step, r.client_id, r.finished_at"
            " from runs r left join steps s on s.run_id = r.id and s.status = 'failed' where"
            f" r.status = 'failed' and r.finished_at > now() - interval '{window.length.days} days'"
            " order by r.id",
        )

    async with ControlDatabase(filled_url) as control:
        failed = look()
        found = await statistics_of(control).failures(window)
        while failed != (after := look()):  # one of them became too old meanwhile
            failed, found = after, await statistics_of(control).failures(window)
    expected = Counter((row["code"], row["kind"], row["step"]) for row in failed)
    assert {(cause.code, cause.kind, cause.step): cause.count for cause in found.causes} == expected
    assert found.count == len(failed)
    for cause in found.causes:
        latest = max(row["finished_at"] for row in failed if row["code"] == cause.code)
        assert cause.latest_at == latest
        assert {"client_id": cause.client_id, "code": cause.code}.items() <= next(
            row for row in failed if row["finished_at"] == latest
        ).items()


async def test_a_registration_that_nobody_takes_up_is_seen_waiting(
    installation: Installation,
) -> None:
    first = await register(installation)
    await register(installation, "Other Corp", email="it@other.example.com")
    document = (await statistics_of(installation.control).overview()).as_document()
    queue = document["queue"]
    assert queue["queueLength"] == 2
    assert queue["longestWaiting"]["clientId"] == str(first.client_id)
    assert queue["oldestWaitMs"] >= 0
    assert queue["limit"] == 0 < queue["limitOfServers"]
    (concern,) = document["needsAttention"]
    assert (concern["code"], concern["severity"], concern["count"]) == ("no_workers", "critical", 2)
    assert document["clients"] == {"total": 2, "byStatus": {"registered": 2}}


async def test_however_many_ask_it_is_read_once() -> None:
    readings = 0

    async def read() -> int:
        nonlocal readings
        readings += 1
        await asyncio.sleep(0)
        return readings

    shared = Shared(read)
    assert set(await asyncio.gather(*(shared.get() for _ in range(50)))) == {1}
    assert await shared.get() == 1
    at_once = Shared(read, shortest_lifetime_seconds=0)
    await at_once.get()
    before = readings
    await asyncio.to_thread(lambda: None)
    while await at_once.get() == before:
        pass
    assert readings == before + 1


async def test_a_reading_that_was_slow_once_is_not_shown_for_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, readings = 1000.0, 0
    monkeypatch.setattr(shared_readings, "monotonic", lambda: now)

    async def read() -> int:
        nonlocal now, readings
        readings += 1
        now += 3.0  # one that takes three seconds would be good for 150
        return readings

    shared = Shared(read)
    assert await shared.get() == 1
    now += LONGEST_LIFETIME_SECONDS - 0.1
    assert await shared.get() == 1
    now += 0.1
    assert await shared.get() == 2


async def test_a_reading_that_failed_is_tried_again_by_whoever_asks_next() -> None:
    outcomes: list[Exception | str] = [ConnectionError("gone"), "read"]

    async def read() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    shared = Shared(read)
    with pytest.raises(ConnectionError):
        await shared.get()
    assert await shared.get() == "read"


async def test_one_who_leaves_while_it_is_read_leaves_the_others_their_reading() -> None:
    may_go_on = asyncio.Event()

    async def read() -> str:
        await may_go_on.wait()
        return "read"

    shared = Shared(read)
    leaving, staying = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    leaving.cancel()
    may_go_on.set()
    assert await staying == "read"
    with pytest.raises(asyncio.CancelledError):
        await leaving


# --- what needs attention, by itself ---------------------------------------------------------------


def worker(*, standing: bool = True, busy: int = 0) -> WorkerNumbers:
    return WorkerNumbers(str(uuid4()), "host", 1, standing, busy, 4, NOW, NOW)


def a_server(*, clients: int = 1, limit: int | None = 10, wants_more: bool = True) -> ServerNumbers:
    return ServerNumbers(str(uuid4()), "pg-03", "postgres", None, clients, limit, wants_more)


def queue(*, waited: timedelta | None = None, queued: int = 0, running: int = 0) -> QueueNumbers:
    waiting = None
    if waited is not None:
        waiting = WaitingClient(str(uuid4()), "ACME", NOW - waited, waited.total_seconds() * 1000)
    return QueueNumbers(queued, running, 0, None, 4, 4, 4, waiting, 0, 0, 0)


def concerns(**given: Any) -> list[Concern]:
    facts: dict[str, Any] = {
        "clients": {},
        "queue": queue(),
        "workers": [worker()],
        "servers": [a_server()],
        "failures": [],
        "quarantined": [],
        "undelivered": {"notifications": 0, "since": None},
    }
    return find_concerns(**facts | given)


def test_when_all_is_well_nothing_needs_attention() -> None:
    assert concerns() == []


def test_no_workers_is_told_apart_from_busy_ones() -> None:
    (none,) = concerns(workers=[])
    assert none.severity == "warning"
    waiting = queue(waited=timedelta(minutes=5), queued=3, running=4)
    (none,) = concerns(workers=[], queue=waiting)
    assert (none.severity, none.count) == ("critical", 7)
    (only_a_command,) = concerns(workers=[worker(standing=False)])
    assert "a command" in only_a_command.sentence
    (busy,) = concerns(workers=[worker(busy=4)], queue=waiting)
    assert busy.code == "long_wait"
    assert busy.sentence == (
        "ACME has been waiting for a worker for 5 min. All 4 places are taken."
    )
    assert concerns(queue=queue(waited=timedelta(seconds=59), queued=1)) == []


def test_a_full_server_and_none_at_all_need_attention() -> None:
    full, room = a_server(clients=10), a_server()
    (one,) = concerns(servers=[full, room])
    assert (one.severity, one.server) == ("warning", "pg-03")
    assert one.sentence == "pg-03 is full: 10 of 10 clients."
    assert [concern.code for concern in concerns(servers=[full])] == [
        "no_server_available",
        "server_not_accepting",
    ]
    switched_off = a_server(wants_more=False, limit=None)
    assert switched_off.why_not == "switched_off"
    assert [concern.code for concern in concerns(servers=[switched_off])] == ["no_server_available"]


def test_the_worst_comes_first() -> None:
    failure = {
        "client_name": "ACME",
        "client_id": uuid4(),
        "message": "It broke.",
        "finished_at": NOW,
        "step": "create_admin",
    }
    found = concerns(
        clients={"failed": 1},
        failures=[
            failure | {"kind": "change_plan"},
            failure | {"kind": "provision_client", "message": None},
        ],
        undelivered={"notifications": 2, "since": NOW},
    )
    assert [(concern.severity, concern.sentence) for concern in found] == [
        ("critical", "ACME failed: no reason was recorded."),
        ("warning", "ACME could not be given another plan: It broke."),
        ("warning", "2 notifications are not delivered yet."),
    ]
