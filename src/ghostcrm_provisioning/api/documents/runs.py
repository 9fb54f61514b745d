"""Runs with their steps and attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from ghostcrm_provisioning.api.documents.document import (
    A_RUN,
    Document,
    ErrorRecord,
    RunKind,
    RunStatus,
    StepStatus,
)


class Run(Document):
    """One execution of a workflow for one client. `step` is the one at which it stands; null when all are
    done."""

    id: UUID = Field(examples=[A_RUN])
    client_id: UUID
    client_name: str
    kind: RunKind
    status: RunStatus
    step: str | None
    attempt: int | None
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    duration_ms: int | None
    error: ErrorRecord | None


class Attempt(Document):
    """One attempt at one step, by one worker."""

    attempt: int
    outcome: Literal["running", "done", "failed", "told_to_wait", "abandoned"]
    started_at: datetime
    finished_at: datetime | None
    duration_ms: int | None
    worker_id: UUID
    error: ErrorRecord | None


class TimedStep(Document):
    """A step with its place in the run, and every attempt at it."""

    position: int
    name: str
    status: StepStatus
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    observation: str | None
    error: ErrorRecord | None
    attempts: list[Attempt]


class PlanChange(Document):
    """What a run of the kind `change_plan` is about."""

    from_plan: str
    to_plan: str
    requested_by: str


class RunWithSteps(Document):
    """A run with its steps."""

    id: UUID = Field(examples=[A_RUN])
    client_id: UUID
    kind: RunKind
    status: RunStatus
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    duration_ms: int | None
    worker_id: UUID | None
    worker_deaths: int
    error: ErrorRecord | None
    steps: list[TimedStep]
    plan_change: PlanChange | None = None
