"""Clients, runs and the queue as the JSON documents that the CLI and the API answer with.

The shapes are a contract: scripts rely on them. No document holds a secret.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.run import Run, RunStep, milliseconds_between
from ghostcrm_provisioning.clients.run_listing import Attempt, RunTimeline, StepTimeline
from ghostcrm_provisioning.clients.verdict import StoredVerdict


def instant(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole_ms(duration: float | None) -> int | None:
    return None if duration is None else round(duration)


def step_document(step: RunStep) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": step.name,
        "status": step.status,
        "attempt": step.attempt,
        "durationMs": whole_ms(step.duration_ms),
    }
    if step.observation is not None:
        document["observation"] = step.observation
    if step.error is not None:
        document["error"] = step.error
    return document


def client_document(client: Client, run: Run, steps: list[RunStep]) -> dict[str, Any]:
    """One client with its latest run: the answer of ``ghostcrm provision`` and ``clients show``."""
    document: dict[str, Any] = {
        "id": str(client.id),
        "name": client.name,
        "plan": client.plan,
        "wantedPlan": client.wanted_plan,
        "status": client.status,
        "database": {
            "id": str(client.database_id),
            "provider": client.provider,
            "name": client.database_name,
            "server": client.server_name,
            "status": client.database_status,
        },
        "admin": {
            "email": client.admin_email,
            "userId": str(client.admin_user_id),
            "mustChangePassword": client.admin_must_change_password,
        },
        "durationMs": whole_ms(run.duration_ms),
        "steps": [step_document(step) for step in steps],
        "blueprint": client.blueprint,
        "runId": str(run.id),
        "kind": run.kind,
        "createdAt": instant(client.created_at),
        "readyAt": instant(client.ready_at),
        "quarantinedAt": instant(client.quarantined_at),
        "suspendedAt": instant(client.suspended_at),
        "deletedAt": instant(client.deleted_at),
        "absence": client.absence,
        "isolation": isolation_document(client.verified_at, client.isolation_holds),
    }
    if client.project_ref is not None:
        document["database"]["project"] = {
            "ref": client.project_ref,
            "status": client.project_status,
        }
    if run.error is not None:
        document["error"] = run.error
    return document


def attempt_document(row: dict[str, Any]) -> dict[str, Any]:
    """One attempt at one step, by one worker."""
    return {
        "step": row["name"],
        "attempt": row["attempt"],
        "outcome": row["outcome"],
        "startedAt": instant(row["started_at"]),
        "finishedAt": instant(row["finished_at"]),
        "workerId": str(row["worker_id"]),
        "error": row["error"],
    }


def client_row_document(row: dict[str, Any]) -> dict[str, Any]:
    """One client in a list."""
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "plan": row["plan"],
        "wantedPlan": row["wanted_plan"],
        "status": row["status"],
        "adminEmail": row["admin_email"],
        "database": {
            "provider": row["provider"],
            "name": row["database_name"],
            "server": row["server_name"],
            "region": row["region"],
        },
        "createdAt": instant(row["created_at"]),
        "readyAt": instant(row["ready_at"]),
        "updatedAt": instant(row["updated_at"]),
        "quarantinedAt": instant(row["quarantined_at"]),
        "suspendedAt": instant(row["suspended_at"]),
        "deletedAt": instant(row["deleted_at"]),
        "isolation": isolation_document(row["verified_at"], row["isolation_holds"]),
    }


def run_row_document(row: dict[str, Any]) -> dict[str, Any]:
    """One run in a list; ``step`` is the one at which it stands, None when all are done."""
    return {
        "id": str(row["id"]),
        "clientId": str(row["client_id"]),
        "clientName": row["client_name"],
        "kind": row["kind"],
        "status": row["status"],
        "step": row["step"],
        "attempt": row["attempt"],
        "createdAt": instant(row["created_at"]),
        "queuedAt": instant(row["queued_at"]),
        "startedAt": instant(row["started_at"]),
        "finishedAt": instant(row["finished_at"]),
        "nextAttemptAt": instant(row["next_attempt_at"]),
        "durationMs": whole_ms(milliseconds_between(row["queued_at"], row["finished_at"])),
        "error": row["error"],
    }


def run_timeline_document(timeline: RunTimeline) -> dict[str, Any]:
    """One run with its steps and all attempts at them, for a waterfall."""
    run = timeline.run
    document: dict[str, Any] = {
        "id": str(run.id),
        "clientId": str(run.client_id),
        "kind": run.kind,
        "status": run.status,
        "createdAt": instant(run.created_at),
        "queuedAt": instant(run.queued_at),
        "startedAt": instant(run.started_at),
        "finishedAt": instant(run.finished_at),
        "nextAttemptAt": instant(run.next_attempt_at),
        "durationMs": whole_ms(run.duration_ms),
        "workerId": None if run.worker_id is None else str(run.worker_id),
        "workerDeaths": run.worker_deaths,
        "error": run.error,
        "steps": [_step_timeline_document(step) for step in timeline.steps],
    }
    if timeline.to_plan is not None:
        document["planChange"] = {
            "fromPlan": timeline.from_plan,
            "toPlan": timeline.to_plan,
            "requestedBy": timeline.requested_by,
        }
    return document


def _step_timeline_document(timeline: StepTimeline) -> dict[str, Any]:
    step = timeline.step
    return {
        "position": step.position,
        "name": step.name,
        "status": step.status,
        "attempt": step.attempt,
        "startedAt": instant(step.started_at),
        "finishedAt": instant(step.finished_at),
        "durationMs": whole_ms(step.duration_ms),
        "observation": step.observation,
        "error": step.error,
        "attempts": [_attempt_of_step_document(attempt) for attempt in timeline.attempts],
    }


def _attempt_of_step_document(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "startedAt": instant(attempt.started_at),
        "finishedAt": instant(attempt.finished_at),
        "durationMs": whole_ms(attempt.duration_ms),
        "workerId": str(attempt.worker_id),
        "error": attempt.error,
    }


def isolation_document(verified_at: datetime | None, holds: bool | None) -> dict[str, Any] | None:
    """The latest full attack on a client; None when there was none since its hand-over."""
    return None if verified_at is None else {"verifiedAt": instant(verified_at), "holds": holds}


def verdict_document(verdict: StoredVerdict) -> dict[str, Any]:
    """One stored verdict."""
    return {
        "id": verdict.id,
        "clientId": str(verdict.client_id),
        "databaseId": str(verdict.database_id),
        "holds": verdict.holds,
        "findings": verdict.findings,
        "attempts": verdict.attempts,
        "catalogFingerprint": verdict.catalog_fingerprint,
        "blueprint": verdict.blueprint,
        "blueprintFingerprint": verdict.blueprint_fingerprint,
        "beganAt": instant(verdict.began_at),
        "durationMs": whole_ms(verdict.duration_ms),
        "requestedBy": verdict.requested_by,
        "programVersion": verdict.program_version,
    }


def failure_document(row: dict[str, Any]) -> dict[str, Any]:
    """One run that has failed lately."""
    return {
        "runId": str(row["run_id"]),
        "clientId": str(row["client_id"]),
        "clientName": row["client_name"],
        "kind": row["kind"],
        "step": row["step"],
        "failedAt": instant(row["finished_at"]),
        "error": row["error"],
    }


def worker_document(row: dict[str, Any]) -> dict[str, Any]:
    """One worker that is alive."""
    return {
        "id": str(row["id"]),
        "host": row["host"],
        "processId": row["process_id"],
        "standing": row["standing"],
        "busy": row["busy"],
        "concurrency": row["concurrency"],
        "startedAt": instant(row["started_at"]),
    }


def current_operation_document(row: dict[str, Any]) -> dict[str, Any]:
    """One operation that is being worked on, or waits for its next attempt."""
    return {
        "runId": str(row["run_id"]),
        "clientId": str(row["client_id"]),
        "clientName": row["client_name"],
        "kind": row["kind"],
        "status": row["status"],
        "step": row["step"],
        "attempt": row["attempt"],
        "startedAt": instant(row["started_at"]),
        "nextAttemptAt": instant(row["next_attempt_at"]),
        "worker": None
        if row["worker_host"] is None
        else f"{row['worker_host']}:{row['worker_process_id']}",
    }
