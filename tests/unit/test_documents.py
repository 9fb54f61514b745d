"""The JSON documents that the CLI and the API answer with: a contract."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.documents import (
    client_document,
    client_row_document,
    current_operation_document,
    instant,
    step_document,
    verdict_document,
    whole_ms,
)
from ghostcrm_provisioning.clients.run import Run, RunStep
from ghostcrm_provisioning.clients.verdict import StoredVerdict

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ID = UUID(int=1)
CLIENT = Client(
    id=ID,
    name="ACME “שלום” 👩‍👩‍👧‍👦",
    plan="professional",
    wanted_plan="professional",
    blueprint="ghostcrm",
    status="ready",
    wanted_status="ready",
    created_at=NOON,
    ready_at=NOON + timedelta(seconds=1),
    updated_at=NOON,
    admin_user_id=UUID(int=2),
    admin_email="admin@acme.com",
    admin_must_change_password=True,
    database_id=UUID(int=3),
    database_name="ghostcrm_3",
    database_status="handed_over",
    blueprint_fingerprint="f",
    handed_over_at=NOON,
    server_id=UUID(int=4),
    server_name="home",
    provider="postgres",
    region=None,
)
RUN = Run(
    id=UUID(int=5),
    client_id=ID,
    kind="provision_client",
    status="succeeded",
    priority=0,
    fence=1,
    worker_id=None,
    worker_deaths=0,
    next_attempt_at=None,
    error=None,
    created_at=NOON,
    queued_at=NOON,
    started_at=NOON,
    finished_at=NOON + timedelta(milliseconds=417.6),
)
STEP = RunStep(
    position=1,
    name="acquire_database",
    status="done",
    attempt=2,
    started_at=NOON,
    finished_at=NOON + timedelta(milliseconds=12.4),
    observation="it is there",
    error=None,
)


def test_a_client_is_told_as_the_contract_says() -> None:
    document = client_document(CLIENT, RUN, [STEP])
    assert json.loads(json.dumps(document)) == {
        "id": str(ID),
        "name": CLIENT.name,
        "plan": "professional",
        "wantedPlan": "professional",
        "status": "ready",
        "database": {
            "id": str(CLIENT.database_id),
            "provider": "postgres",
            "name": "ghostcrm_3",
            "server": "home",
            "status": "handed_over",
        },
        "admin": {
            "email": "admin@acme.com",
            "userId": str(CLIENT.admin_user_id),
            "mustChangePassword": True,
        },
        "durationMs": 418,
        "steps": [
            {
                "name": "acquire_database",
                "status": "done",
                "attempt": 2,
                "durationMs": 12,
                "observation": "it is there",
            }
        ],
        "blueprint": "ghostcrm",
        "runId": str(RUN.id),
        "kind": "provision_client",
        "createdAt": "2026-03-01T12:00:00.123Z",
        "readyAt": "2026-03-01T12:00:01.123Z",
        "quarantinedAt": None,
        "suspendedAt": None,
        "deletedAt": None,
        "absence": None,
        "isolation": None,
    }


def test_a_client_that_is_deleted_says_since_when_and_what_was_seen() -> None:
    deleted = replace(CLIENT, status="deleted", deleted_at=NOON, absence="nothing is there")
    document = client_document(deleted, RUN, [])
    assert document["deletedAt"] == "2026-03-01T12:00:00.123Z"
    assert document["absence"] == "nothing is there"


def test_a_client_says_when_it_was_verified_and_since_when_it_is_in_quarantine() -> None:
    quarantined = replace(
        CLIENT, status="quarantined", quarantined_at=NOON, verified_at=NOON, isolation_holds=False
    )
    document = client_document(quarantined, RUN, [STEP])
    assert document["quarantinedAt"] == "2026-03-01T12:00:00.123Z"
    assert document["isolation"] == {"verifiedAt": "2026-03-01T12:00:00.123Z", "holds": False}


def test_a_verdict_is_told_as_the_contract_says() -> None:
    finding = {"code": "row_seen", "sentence": "No.", "subject": "contacts", "caller": "anon"}
    verdict = StoredVerdict(
        id=7,
        client_id=ID,
        database_id=UUID(int=3),
        began_at=NOON,
        duration_ms=12.4,
        holds=False,
        findings=[finding],
        attempts={"select": 44},
        catalog_fingerprint="c",
        blueprint="ghostcrm",
        blueprint_fingerprint="f",
        requested_by="cli",
        program_version="0.1.0",
    )
    assert json.loads(json.dumps(verdict_document(verdict))) == {
        "id": 7,
        "clientId": str(ID),
        "databaseId": str(UUID(int=3)),
        "holds": False,
        "findings": [finding],
        "attempts": {"select": 44},
        "catalogFingerprint": "c",
        "blueprint": "ghostcrm",
        "blueprintFingerprint": "f",
        "beganAt": "2026-03-01T12:00:00.123Z",
        "durationMs": 12,
        "requestedBy": "cli",
        "programVersion": "0.1.0",
    }


def test_a_client_that_failed_says_why() -> None:
    error = {"code": "migration_failed", "message": "no"}
    document = client_document(CLIENT, replace(RUN, status="failed", error=error), [])
    assert document["error"] == error
    assert "error" not in client_document(CLIENT, RUN, [])


def test_what_has_not_happened_yet_is_null() -> None:
    fresh = replace(CLIENT, status="registered", ready_at=None)
    pending = replace(STEP, status="pending", started_at=None, finished_at=None, observation=None)
    document = client_document(fresh, replace(RUN, finished_at=None), [pending])
    assert document["readyAt"] is None
    assert document["durationMs"] is None
    assert document["steps"] == [
        {"name": "acquire_database", "status": "pending", "attempt": 2, "durationMs": None}
    ]


def test_a_failed_step_says_why() -> None:
    error = {"code": "database_busy"}
    assert step_document(replace(STEP, error=error))["error"] == error


def test_a_client_in_a_list_has_no_secret_and_no_more_than_its_columns() -> None:
    row: dict[str, Any] = {
        "id": ID,
        "name": "ACME",
        "plan": "starter",
        "wanted_plan": "professional",
        "status": "ready",
        "admin_email": "a@b.co",
        "provider": "postgres",
        "database_name": "ghostcrm_3",
        "server_name": "home",
        "region": "eu-west",
        "created_at": NOON,
        "ready_at": None,
        "updated_at": NOON,
        "quarantined_at": None,
        "suspended_at": None,
        "deleted_at": None,
        "verified_at": NOON,
        "isolation_holds": True,
        "credentials_sealed": b"hunter2",
        "password_hash_sealed": b"hunter2",
    }
    document = json.dumps(client_row_document(row))
    assert "hunter2" not in document
    assert json.loads(document) == {
        "id": str(ID),
        "name": "ACME",
        "plan": "starter",
        "wantedPlan": "professional",
        "status": "ready",
        "adminEmail": "a@b.co",
        "database": {
            "provider": "postgres",
            "name": "ghostcrm_3",
            "server": "home",
            "region": "eu-west",
        },
        "createdAt": "2026-03-01T12:00:00.123Z",
        "readyAt": None,
        "updatedAt": "2026-03-01T12:00:00.123Z",
        "quarantinedAt": None,
        "suspendedAt": None,
        "deletedAt": None,
        "isolation": {"verifiedAt": "2026-03-01T12:00:00.123Z", "holds": True},
    }


def test_an_operation_names_its_worker_when_it_has_one() -> None:
    row: dict[str, Any] = {
        "run_id": RUN.id,
        "client_id": ID,
        "client_name": "ACME",
        "kind": "provision_client",
        "status": "running",
        "step": "create_admin",
        "attempt": 1,
        "started_at": NOON,
        "next_attempt_at": None,
        "worker_host": "machine",
        "worker_process_id": 4711,
    }
    document = json.loads(json.dumps(current_operation_document(row)))
    assert document["worker"] == "machine:4711"
    assert document["startedAt"] == "2026-03-01T12:00:00.123Z"
    assert current_operation_document(row | {"worker_host": None})["worker"] is None


@given(
    st.datetimes(
        min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - the zone is drawn beside it
        max_value=datetime(2999, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_an_instant_is_told_in_utc_to_the_millisecond(moment: datetime) -> None:
    told = instant(moment)
    assert told is not None
    assert told.endswith("Z")
    back = datetime.fromisoformat(told)
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


@pytest.mark.parametrize(("duration", "told"), [(None, None), (0.4, 0), (0.6, 1), (1234.5, 1234)])
def test_a_duration_is_told_in_whole_milliseconds(duration: float | None, told: int | None) -> None:
    assert whole_ms(duration) == told


def test_no_instant_is_null() -> None:
    assert instant(None) is None
