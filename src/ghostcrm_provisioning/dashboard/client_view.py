"""Everything that a client's page shows, looked up once: for the page, and for each of its live updates."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from markupsafe import Markup, escape

from ghostcrm_provisioning.access.principal import Principal
from ghostcrm_provisioning.client_database.blueprint import Blueprint, read_blueprint
from ghostcrm_provisioning.client_database.isolation.verdict import CATALOG
from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.clients.lifecycle import RESUME
from ghostcrm_provisioning.clients.plan_change import PlanChange, find_plan_change
from ghostcrm_provisioning.clients.run import (
    RUNS,
    Run,
    RunStep,
    find_latest_run,
    find_run,
    list_steps,
)
from ghostcrm_provisioning.clients.run_listing import RunFilter, list_runs
from ghostcrm_provisioning.clients.standing import now_at_control
from ghostcrm_provisioning.clients.verdict import StoredVerdict, list_verdicts
from ghostcrm_provisioning.dashboard.client_actions import Offer, Situation, offers_for
from ghostcrm_provisioning.dashboard.rendering import due
from ghostcrm_provisioning.dashboard.waterfall import Waterfall, draw
from ghostcrm_provisioning.errors import GhostcrmError, NotFound
from ghostcrm_provisioning.explanation import Explanation, explain
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS
from ghostcrm_provisioning.queue.pending_verification import (
    PendingVerification,
    find_pending_verification,
)
from ghostcrm_provisioning.verification.doors import CONNECT_AS_ANOTHER_CLIENT
from ghostcrm_provisioning.wiring import Installation

_MOST_RUNS = 20
_MOST_VERDICTS = 10
# What the facts of an error are called, where their name says it badly.
_DETAILS = {"sqlstate": "SQLSTATE"}
_SECONDS_LEFT = re.compile(r"\bin \d+ s\b")


@dataclass(frozen=True)
class ClientView:
    """A client as it is now, and the run that is looked at (its latest, unless an older was asked for)."""

    client: Client
    explanation: Explanation
    latest: Run
    run: Run
    steps: list[RunStep]
    waterfall: Waterfall
    plan_change: PlanChange | None
    runs: list[dict[str, Any]]
    verdicts: list[StoredVerdict]
    verification: PendingVerification | None
    now: datetime
    max_attempts: int

    @property
    def state(self) -> str:
        """The one word for it."""
        return self.client.status

    @property
    def is_settled(self) -> bool:
        """Ready, with nothing under way and nothing failed: there is nothing to explain."""
        return self.explanation.ready and (self.latest.status == "succeeded" or self.is_mended)

    @property
    def is_mended(self) -> bool:
        """What could not be resumed went into quarantine, and was released since."""
        return self.latest.kind == RESUME and self.latest.status == "failed" and self.client.is_open

    @property
    def has_failed(self) -> bool:
        return self.latest.status == "failed" and not self.is_mended

    @property
    def is_as_wished(self) -> bool:
        """Suspended or deleted, and nothing under way."""
        return (
            self.client.status in {"suspended", "deleted"}
            and self.client.status == self.client.wanted_status
            and self.latest.status == "succeeded"
        )

    @property
    def needs_attention(self) -> bool:
        return self.has_failed or self.situation.is_quarantined

    @property
    def situation(self) -> Situation:
        return Situation(self.client, self.latest, is_being_verified=self.verification is not None)

    @property
    def title(self) -> str:
        """For the browser's tab: the state comes first, for tabs are narrow."""
        icons = {"ready": "✓", "failed": "✕", "quarantined": "✕", "suspended": "‖", "deleted": "–"}
        icon = "✕" if self.has_failed else icons.get(self.state, "…")
        word = "Failed" if self.has_failed else self.state.capitalize()
        return f"{icon} {word}: {self.client.name}"

    @property
    def sentence(self) -> Markup:
        """The explanation's sentence; the seconds to the next attempt tick."""
        sentence, moment = self.explanation.sentence, self.explanation.next_attempt_at
        if moment is None or (found := _SECONDS_LEFT.search(sentence)) is None:
            return escape(sentence)
        return Markup("{}{}{}").format(
            sentence[: found.start()], due(moment), sentence[found.end() :]
        )

    @property
    def commands(self) -> list[str]:
        """What the explanation says to do next, where that is a command."""
        then = self.explanation.then or ""
        return [then] if then.startswith("ghostcrm ") and ";" not in then else []

    @property
    def version(self) -> str:
        """Changes when something does that the page shows; the passing of time is nothing."""
        seen = (
            self.client,
            self.latest,
            self.steps,
            [run["status"] for run in self.runs],
            [verdict.id for verdict in self.verdicts],
            self.verification,
            self.explanation.code == "no_workers",
        )
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    @property
    def workflow_title(self) -> str:
        return WORKFLOWS[self.run.kind].title if self.run.kind in WORKFLOWS else self.run.kind

    @property
    def time_to_ready_ms(self) -> float | None:
        ready_at = self.client.ready_at
        if ready_at is None:
            return None
        return (ready_at - self.client.created_at).total_seconds() * 1000

    def offers(self, principal: Principal) -> list[Offer]:
        return offers_for(principal, self.situation)


async def look_at_client(
    installation: Installation,
    client_id: UUID,
    *,
    run_id: UUID | None = None,
) -> ClientView:
    """A client's page as it is now.

    Raises:
        NotFound: there is no such client, or it has no such run.
    """
    settings = installation.settings
    async with installation.control.transaction() as connection:
        await connection.execute("set transaction isolation level repeatable read, read only")
        client = await find_client(connection, client_id)
        latest = await find_latest_run(connection, client_id)
        run = latest if run_id is None else await find_run(connection, run_id)
        if run.client_id != client_id:
            raise NotFound(f"{client.name} has no run {run.id}.")
        steps = await list_steps(connection, run.id)
        attempts = await (
            await connection.execute(RUNS["list_attempts"], {"run_id": run.id})
        ).fetchall()
        plan_change = await find_plan_change(connection, run.id)
        runs = await list_runs(connection, RunFilter(client_id=client_id), limit=_MOST_RUNS)
        verdicts = await list_verdicts(connection, client_id, limit=_MOST_VERDICTS)
        verification = await find_pending_verification(connection, client_id)
        now = await now_at_control(connection)
    explanation = await explain(
        installation.control,
        client_id,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
    )
    return ClientView(
        client=client,
        explanation=explanation,
        latest=latest,
        run=run,
        steps=steps,
        waterfall=draw(run, steps, attempts, titles=titles_of(run.kind), now=now),
        plan_change=plan_change,
        runs=runs.rows,
        verdicts=verdicts,
        verification=verification,
        now=now,
        max_attempts=settings.max_attempts,
    )


def titles_of(kind: str) -> dict[str, str]:
    """What the steps of a workflow are called."""
    workflow = WORKFLOWS.get(kind)
    return {} if workflow is None else {step.name: step.title for step in workflow.steps}


def attacks_of(verdict: StoredVerdict) -> int:
    """How many attacks were made for a verdict; facts that were only compared are not counted."""
    return sum(
        number
        for kind, number in verdict.attempts.items()
        if kind not in {CATALOG, CONNECT_AS_ANOTHER_CLIENT}
    )


async def blueprint_of(client: Client) -> Blueprint | None:
    """The client's blueprint as it is on disk now; None when it cannot be read (any more)."""
    try:
        return await asyncio.to_thread(read_blueprint, client.blueprint)
    except GhostcrmError:
        return None


def details_of(error: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The facts of a recorded error, to be read: what they are called, and their values."""
    details = (error or {}).get("details") or {}
    return [
        (_DETAILS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize(), str(value))
        for name, value in details.items()
        if value is not None
    ]
