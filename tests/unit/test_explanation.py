"""“Why is this client not ready?” has a sentence for every state, with its parts beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

import pytest

from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.lifecycle import LifecycleChange
from ghostcrm_provisioning.clients.plan_change import PlanChange
from ghostcrm_provisioning.clients.run import Run, RunStep
from ghostcrm_provisioning.clients.verdict import StoredVerdict
from ghostcrm_provisioning.errors import DatabaseBusy, MigrationFailed
from ghostcrm_provisioning.explanation import Explanation, _explain, _Facts
from ghostcrm_provisioning.provisioning.change_plan import CHANGE_PLAN
from ghostcrm_provisioning.provisioning.delete_client import DELETE_CLIENT
from ghostcrm_provisioning.provisioning.provision_client import PROVISION_CLIENT
from ghostcrm_provisioning.provisioning.resume_client import RESUME_CLIENT
from ghostcrm_provisioning.provisioning.suspend_client import SUSPEND_CLIENT
from ghostcrm_provisioning.provisioning.workflow import Workflow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID(int=1)
KEYS = {
    "findings",
    "clientId",
    "clientName",
    "status",
    "ready",
    "sentence",
    "step",
    "stepNumber",
    "steps",
    "attempt",
    "maxAttempts",
    "cause",
    "code",
    "retryable",
    "since",
    "nextAttemptAt",
    "fix",
    "then",
}
BUSY = DatabaseBusy("The server is full.").as_record()
BROKEN = MigrationFailed(
    "002_broken.sql, line 3: relation does not exist (42P01)", sqlstate="42P01"
).as_record()


def client(status: str) -> Client:
    return Client(
        id=ID,
        name="ACME Corp",
        plan="starter",
        wanted_plan="starter",
        blueprint="ghostcrm",
        status=status,
        wanted_status="ready",
        created_at=NOON,
        ready_at=NOON if status == "ready" else None,
        updated_at=NOON,
        admin_user_id=UUID(int=2),
        admin_email="admin@acme.com",
        admin_must_change_password=False,
        database_id=UUID(int=3),
        database_name="ghostcrm_3",
        database_status="planned",
        blueprint_fingerprint=None,
        handed_over_at=None,
        server_id=UUID(int=4),
        server_name="home",
        provider="postgres",
        region=None,
    )


def run(status: str, **more: Any) -> Run:
    given = Run(
        id=UUID(int=5),
        client_id=ID,
        kind="provision_client",
        status=status,
        priority=0,
        fence=1,
        worker_id=None,
        worker_deaths=0,
        next_attempt_at=None,
        error=None,
        created_at=NOON,
        queued_at=NOON,
        started_at=NOON,
        finished_at=None,
    )
    return replace(given, **more)


def steps(
    at: int,
    status: str,
    error: dict[str, Any] | None = None,
    of: Workflow = PROVISION_CLIENT,
) -> list[RunStep]:
    """All steps of a run that stands at step number ``at``."""
    return [
        RunStep(
            position=number,
            name=name,
            status="done" if number < at else status if number == at else "pending",
            attempt=2 if number == at else int(number < at),
            started_at=NOON if number <= at else None,
            finished_at=NOON if number < at else None,
            observation="so" if number < at else None,
            error=error if number == at else None,
        )
        for number, name in enumerate(of.step_names, start=1)
    ]


def explained(
    client_status: str,
    of_run: Run,
    of_steps: list[RunStep],
    *,
    workers: int = 1,
    ahead: int = 0,
    plan_change: PlanChange | None = None,
) -> Explanation:
    facts = _Facts(
        client=client(client_status),
        run=of_run,
        steps=of_steps,
        standing_workers=workers,
        any_workers=workers,
        ahead=ahead,
        max_attempts=3,
        plan_change=plan_change,
    )
    explanation = _explain(facts)
    document = json.loads(json.dumps(explanation.as_document()))
    assert set(document) == KEYS
    assert document["clientId"] == str(ID)
    assert document["ready"] is (client_status == "ready")
    assert document["sentence"].startswith("ACME Corp is ")
    assert document["sentence"].endswith((".", ")"))
    assert document["then"]
    return explanation


def test_a_ready_client_is_ready_and_can_be_connected_to() -> None:
    found = explained("ready", run("succeeded", finished_at=NOON), steps(99, "done"))
    assert found.sentence == "ACME Corp is ready."
    assert found.then == f"ghostcrm clients connect {ID}"
    assert (found.step, found.cause, found.code) == (None, None, None)


@pytest.mark.parametrize(
    ("ahead", "words"), [(0, "it is next"), (1, "1 before it"), (17, "17 before it")]
)
def test_a_waiting_client_knows_its_place(ahead: int, words: str) -> None:
    found = explained("registered", run("queued"), steps(99, "pending"), ahead=ahead)
    assert words in found.sentence
    assert found.code is None


def test_without_workers_the_reader_is_told_to_start_one() -> None:
    found = explained("registered", run("queued"), steps(99, "pending"), workers=0)
    assert "no workers are running" in found.sentence
    assert found.code == "no_workers"
    assert found.then == "ghostcrm up"


def test_a_failed_client_has_step_cause_code_and_what_to_do() -> None:
    found = explained(
        "failed",
        run("failed", error=BROKEN, finished_at=NOON + timedelta(seconds=9)),
        steps(2, "failed", BROKEN),
    )
    assert found.sentence == (
        "ACME Corp is not ready: it failed at “install blueprint”: "
        "002_broken.sql, line 3: relation does not exist (42P01)"
    )
    assert (found.step, found.step_number, found.steps) == ("install_blueprint", 2, 6)
    assert (found.attempt, found.max_attempts) == (2, 3)
    assert found.code == "migration_failed"
    assert found.cause == BROKEN["message"]
    assert found.fix == MigrationFailed.default_next_step
    assert found.then == f"ghostcrm clients retry {ID}"
    assert found.since == NOON + timedelta(seconds=9)


def test_a_failure_without_a_reason_is_told_all_the_same() -> None:
    found = explained("failed", run("failed", finished_at=NOON), steps(1, "failed"))
    assert "no reason was recorded" in found.sentence


def test_a_failure_before_the_first_step_names_the_workflow() -> None:
    found = explained("failed", run("failed", error=BUSY, finished_at=NOON), [])
    assert "provision client" in found.sentence
    assert found.step is None


class AtNoon:
    """Stands in for the module's ``datetime``."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return NOON.astimezone(zone)


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghostcrm_provisioning.explanation.datetime", AtNoon)


@pytest.mark.usefixtures("at_noon")
def test_a_client_that_is_tried_again_knows_when() -> None:
    found = explained(
        "provisioning",
        run("waiting", error=BUSY, next_attempt_at=NOON + timedelta(seconds=30.4)),
        steps(3, "waiting", BUSY),
    )
    assert "“create admin” is tried again in 30 s (attempt 2 of 3)." in found.sentence
    assert found.cause == "The server is full."
    assert found.code == "database_busy"
    assert found.next_attempt_at is not None
    assert found.then == "Nothing; it goes on by itself."


def test_a_moment_that_has_passed_is_no_negative_wait() -> None:
    found = explained(
        "provisioning",
        run("waiting", error=BUSY, next_attempt_at=NOON),
        steps(3, "waiting", BUSY),
        workers=0,
    )
    assert "in 0 s" in found.sentence
    assert found.then == "Start a worker: ghostcrm up"


def test_a_running_client_names_its_step() -> None:
    found = explained("provisioning", run("running"), steps(5, "running"))
    assert found.sentence == "ACME Corp is being provisioned: “prove isolation” is running."
    assert (found.step_number, found.steps) == (5, 6)


def test_a_run_whose_worker_died_is_not_called_running() -> None:
    found = explained("provisioning", run("running"), steps(5, "running"), workers=0)
    assert "its worker died" in found.sentence
    assert found.then == "Start a worker: ghostcrm up"


# --- a client that is ready, and a change of its plan -----------------------------------------------

CHANGE = PlanChange(
    run_id=UUID(int=5),
    client_id=ID,
    from_plan="starter",
    to_plan="professional",
    allow_over_limit=False,
    requested_by="test",
    requested_at=NOON,
    applied_at=None,
)


def plan_change_explained(of_run: Run, of_steps: list[RunStep], **more: Any) -> Explanation:
    found = explained(
        "ready", replace(of_run, kind="change_plan"), of_steps, plan_change=CHANGE, **more
    )
    if of_run.status != "succeeded":
        assert found.sentence.startswith("ACME Corp is ready on the plan starter; ")
    return found


def test_a_plan_that_was_changed_leaves_nothing_to_explain() -> None:
    found = plan_change_explained(
        run("succeeded", finished_at=NOON), steps(99, "done", of=CHANGE_PLAN)
    )
    assert found.sentence == "ACME Corp is ready."


def test_a_change_of_plan_that_failed_says_why_and_what_to_do() -> None:
    found = plan_change_explained(
        run("failed", error=BROKEN, finished_at=NOON), steps(1, "failed", BROKEN, CHANGE_PLAN)
    )
    assert (
        "its change to professional failed at “apply plan settings”: 002_broken" in found.sentence
    )
    assert "already" not in found.sentence
    assert (found.step_number, found.steps, found.code) == (1, 3, "migration_failed")
    assert found.fix == MigrationFailed.default_next_step
    assert found.then is not None
    assert f"ghostcrm clients retry {ID}" in found.then
    assert f"ghostcrm clients change-plan {ID} starter" in found.then


def test_a_change_of_plan_that_failed_half_way_says_so() -> None:
    found = plan_change_explained(
        run("failed", error=BUSY, finished_at=NOON), steps(2, "failed", BUSY, CHANGE_PLAN)
    )
    assert "failed at “limit connections”: The server is full." in found.sentence
    assert found.sentence.endswith("The limits in its database are those of professional already.")


@pytest.mark.usefixtures("at_noon")
def test_a_change_of_plan_that_waits_for_its_next_attempt_knows_when() -> None:
    found = plan_change_explained(
        run("waiting", error=BUSY, next_attempt_at=NOON + timedelta(seconds=30.4)),
        steps(2, "waiting", BUSY, CHANGE_PLAN),
    )
    assert "goes on in 30 s: “limit connections” is tried again (attempt 2 of 3)." in found.sentence
    assert found.cause == "The server is full."


def test_a_change_of_plan_that_is_queued_or_running_goes_on_by_itself() -> None:
    queued = plan_change_explained(run("queued"), steps(99, "pending", of=CHANGE_PLAN))
    assert "waits for a worker to take it up" in queued.sentence
    assert (queued.step, queued.attempt) == (None, None)
    running = plan_change_explained(run("running"), steps(3, "running", of=CHANGE_PLAN))
    assert "it is being changed to professional: “record plan” is running." in running.sentence
    assert queued.then == running.then == "Nothing; it goes on by itself."


@pytest.mark.parametrize("status", ["queued", "running", "waiting"])
def test_without_workers_no_plan_changes(status: str) -> None:
    found = plan_change_explained(run(status), steps(2, status, of=CHANGE_PLAN), workers=0)
    assert "no worker is running to change it to professional" in found.sentence
    assert (found.code, found.then) == ("no_workers", "ghostcrm up")


FINDINGS = [
    {"code": "row_seen", "sentence": "anon sees rows of contacts.", "subject": "contacts"},
    {"code": "connect_open", "sentence": "Everyone may connect.", "subject": None},
]


def verdict(*findings: dict[str, Any]) -> StoredVerdict:
    return StoredVerdict(
        id=1,
        client_id=ID,
        database_id=UUID(int=3),
        began_at=NOON,
        duration_ms=1.0,
        holds=not findings,
        findings=list(findings),
        attempts={},
        catalog_fingerprint="",
        blueprint="ghostcrm",
        blueprint_fingerprint=None,
        requested_by="schedule",
        program_version="0",
    )


@pytest.mark.parametrize(
    ("status", "wanted", "found", "sentence"),
    [
        (
            "quarantined",
            "quarantined",
            FINDINGS,
            "ACME Corp is in quarantine: its isolation is not",
        ),
        (
            "quarantined",
            "quarantined",
            [],
            "ACME Corp is in quarantine, but the latest attack found",
        ),
        (
            "ready",
            "quarantined",
            FINDINGS,
            "ACME Corp is not proven to be isolated: nobody is given",
        ),
    ],
)
def test_a_client_in_quarantine_says_what_was_found_and_how_it_gets_out(
    status: str, wanted: str, found: list[dict[str, Any]], sentence: str
) -> None:
    of_client = replace(
        client(status),
        wanted_status=wanted,
        quarantined_at=NOON if status == "quarantined" else None,
    )
    facts = _Facts(of_client, run("succeeded"), [], 1, 1, 0, 3, verdict=verdict(*found))
    document = json.loads(json.dumps(_explain(facts).as_document()))
    assert set(document) == KEYS
    assert document["sentence"].startswith(sentence)
    assert document["ready"] is False
    assert document["findings"] == found
    assert document["then"] == f"ghostcrm clients release {ID}"
    assert document["since"] == "2026-03-01T12:00:00.000Z"
    if found:
        assert document["code"] == "isolation_not_proven"
        assert document["cause"] == "anon sees rows of contacts. (and 1 more)"
        assert document["fix"]


# --- the rest of a life -------------------------------------------------------------------------------


def change(kind: str, *, reason: str | None = None, with_export: bool = True) -> LifecycleChange:
    return LifecycleChange(UUID(int=5), ID, kind, with_export, reason, "test", NOON)


def of_life(
    status: str,
    wish: str,
    of_run: Run,
    of_steps: list[RunStep],
    asked: LifecycleChange,
    *,
    workers: int = 1,
) -> Explanation:
    of_client = replace(
        client(status),
        wanted_status=wish,
        suspended_at=NOON if status == "suspended" else None,
        deleted_at=NOON if status == "deleted" else None,
        absence="nothing is there" if status == "deleted" else None,
    )
    facts = _Facts(
        client=of_client,
        run=replace(of_run, kind=asked.kind),
        steps=of_steps,
        standing_workers=workers,
        any_workers=workers,
        ahead=0,
        max_attempts=3,
        change=asked,
        export="/exports/x.json on here",
    )
    explanation = _explain(facts)
    assert set(json.loads(json.dumps(explanation.as_document()))) == KEYS
    assert not explanation.ready
    return explanation


def test_a_suspended_client_says_why_and_how_it_comes_back() -> None:
    found = of_life(
        "suspended",
        "suspended",
        run("succeeded", finished_at=NOON),
        steps(99, "done", of=SUSPEND_CLIENT),
        change("suspend_client", reason="unpaid"),
    )
    assert found.sentence == (
        "ACME Corp is suspended (unpaid): nobody is let in, and everything stays."
    )
    assert (found.then, found.remedy) == (f"ghostcrm clients resume {ID}", "resume")
    assert found.since == NOON


def test_on_its_way_it_says_at_which_step() -> None:
    waiting = of_life(
        "suspended",
        "suspended",
        run("waiting", next_attempt_at=NOON, error=BUSY),
        steps(3, "waiting", BUSY, of=SUSPEND_CLIENT),
        change("suspend_client"),
    )
    assert waiting.sentence.startswith(
        "ACME Corp is being suspended: “pause database” is looked at"
    )
    running = of_life(
        "suspended",
        "ready",
        run("running"),
        steps(2, "running", of=RESUME_CLIENT),
        change("resume_client"),
    )
    assert running.sentence == "ACME Corp is being resumed: “prove isolation” is running."
    queued = of_life(
        "ready",
        "deleted",
        run("queued"),
        steps(99, "pending", of=DELETE_CLIENT),
        change("delete_client"),
    )
    assert queued.sentence == (
        "ACME Corp is to be deleted, and waits for a worker to take it up: nobody is given a connection any more."
    )
    alone = of_life(
        "ready",
        "suspended",
        run("queued"),
        steps(99, "pending", of=SUSPEND_CLIENT),
        change("suspend_client"),
        workers=0,
    )
    assert (alone.code, alone.then) == ("no_workers", "ghostcrm up")


@pytest.mark.parametrize(
    ("kind", "wish", "of", "other"),
    [
        ("suspend_client", "suspended", SUSPEND_CLIENT, "clients resume"),
        ("delete_client", "deleted", DELETE_CLIENT, "--no-export"),
    ],
)
def test_what_failed_names_both_ways_on(kind: str, wish: str, of: Workflow, other: str) -> None:
    found = of_life(
        "ready",
        wish,
        run("failed", error=BROKEN, finished_at=NOON),
        steps(1, "failed", BROKEN, of=of),
        change(kind),
    )
    assert f"ACME Corp could not be {wish}: it failed at “" in found.sentence
    assert found.sentence.endswith("Until that is done, nobody is given a connection any more.")
    assert found.remedy == "retry"
    assert f"clients retry {ID}" in (found.then or "")
    assert other in (found.then or "")


def test_a_deleted_client_says_what_was_seen_and_where_its_export_is() -> None:
    found = of_life(
        "deleted",
        "deleted",
        run("succeeded", finished_at=NOON),
        steps(99, "done", of=DELETE_CLIENT),
        change("delete_client"),
    )
    assert found.sentence == "ACME Corp is deleted; seen then: nothing is there."
    assert found.then == "Its newest export: /exports/x.json on here"
    assert found.remedy is None
