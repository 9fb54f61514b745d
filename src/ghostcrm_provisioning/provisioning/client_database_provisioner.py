"""Carries out runs: step after step, recorded, fenced, retried.

What is promised here, whatever happens to this process or to the connections it uses:

* A step is recorded as done only after it was observed to be so.
* A run continues at the step that was not done; steps that are done are not repeated.
* A worker that lost its lease writes nothing more about the run (:class:`Superseded`).
* A run ends *succeeded* or *failed with a reason*; when it fails, an operator is told, in the same
  transaction. A run that nobody holds any more is taken up again by the queue's lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from structlog.typing import FilteringBoundLogger

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.clients.run import HeldRun, Run, RunStep, list_steps
from ghostcrm_provisioning.control_database.database import Connection, ControlDatabase
from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    GhostcrmError,
    PostconditionNotMet,
    Superseded,
    WorkerDiedRepeatedly,
)
from ghostcrm_provisioning.postgres_errors import translated
from ghostcrm_provisioning.providers.provider import Provider
from ghostcrm_provisioning.provisioning.change_plan import CHANGE_PLAN
from ghostcrm_provisioning.provisioning.delete_client import DELETE_CLIENT
from ghostcrm_provisioning.provisioning.provision_client import PROVISION_CLIENT
from ghostcrm_provisioning.provisioning.resume_client import RESUME_CLIENT
from ghostcrm_provisioning.provisioning.retry import RetryPolicy
from ghostcrm_provisioning.provisioning.rotate_credentials import ROTATE_CREDENTIALS
from ghostcrm_provisioning.provisioning.suspend_client import SUSPEND_CLIENT
from ghostcrm_provisioning.provisioning.work import Surroundings, Work, gather_work
from ghostcrm_provisioning.provisioning.workflow import Step, Workflow
from ghostcrm_provisioning.provisioning_log import get_logger
from ghostcrm_provisioning.sealing import Sealer

WORKFLOWS = {
    workflow.kind: workflow
    for workflow in (
        PROVISION_CLIENT,
        CHANGE_PLAN,
        SUSPEND_CLIENT,
        RESUME_CLIENT,
        DELETE_CLIENT,
        ROTATE_CREDENTIALS,
    )
}


class Providers(Protocol):
    """Finds the provider of a server."""

    async def of_server(self, server_id: UUID) -> Provider: ...


# Told of a failure inside the transaction that records it.
OnFailure = Callable[[Connection, Client, Run, GhostcrmError], Awaitable[None]]


class ClientDatabaseProvisioner:
    """See the module's text for what is promised."""

    def __init__(
        self,
        control: ControlDatabase,
        *,
        installation_id: UUID,
        sealer: Sealer,
        providers: Providers,
        retry: RetryPolicy,
        step_deadline_seconds: float,
        long_step_deadline_seconds: float,
        max_worker_deaths: int,
        on_failure: OnFailure,
        around: Surroundings,
    ) -> None:
        self._control = control
        self._installation_id = installation_id
        self._sealer = sealer
        self._providers = providers
        self._retry = retry
        self._step_deadline_seconds = step_deadline_seconds
        self._long_step_deadline_seconds = long_step_deadline_seconds
        self.around = around
        # A run that takes its workers down with it must not go round for ever.
        self._max_worker_deaths = max_worker_deaths
        self._on_failure = on_failure

    async def carry_out(self, run_id: UUID, worker_id: UUID) -> float | None:
        """Work on a run until it ends or has to wait; returns in how many seconds to come back."""
        async with self._control.connection() as own:
            held = await HeldRun.take_up(self._control, own, run_id, worker_id)
            if held is None:
                return None
            client = await find_client(own, held.run.client_id)
            log = get_logger("provisioning").bind(
                clientId=str(client.id), clientName=client.name, runId=str(run_id)
            )
            try:
                return await self._carry_out(held, client, log)
            except Superseded:
                log.info("run_superseded", status="superseded")
                return None

    async def _carry_out(
        self, held: HeldRun, client: Client, log: FilteringBoundLogger
    ) -> float | None:
        workflow = WORKFLOWS[held.run.kind]
        async with held.connection() as connection:
            recorded = {step.name: step for step in await list_steps(connection, held.run.id)}
        pending = [step for step in workflow.steps if recorded[step.name].status != "done"]
        log.info("run_started", status="running", kind=workflow.kind)
        finished: tuple[int, str] | None = None
        at: RunStep | None = None
        async with AsyncExitStack() as resources:
            try:
                if held.run.worker_deaths >= self._max_worker_deaths:
                    at = recorded[pending[0].name] if pending else None
                    raise WorkerDiedRepeatedly(deaths=held.run.worker_deaths)
                work: Work | None = None
                for step in pending:
                    at = recorded[step.name]
                    at = await self._start(held, at, finished)
                    finished = None
                    if work is None:
                        work = await self._gather(held, client, workflow)
                        resources.push_async_callback(work.close)
                    seen = await self._attempt(step, work, log, at)
                    finished = (at.position, seen)
                duration_ms = await held.succeed(
                    finished=finished,
                    conclude=lambda connection: workflow.conclude(connection, client),
                )
            except Superseded:
                raise
            except Exception as error:
                # Last door before the queue: whatever it was, the run says what happened.
                ours = translated(error, where=_place(at, workflow))
                return await self._stumble(held, client, at, ours, log, caused_by=error)
        log.info("run_succeeded", status=workflow.ends_as, durationMs=round(duration_ms, 1))
        return None

    async def _start(
        self, held: HeldRun, step: RunStep, finished: tuple[int, str] | None
    ) -> RunStep:
        attempt, started_at = await held.start_step(step.position, finished=finished)
        return RunStep(step.position, step.name, "running", attempt, started_at, None, None, None)

    async def _gather(self, held: HeldRun, client: Client, workflow: Workflow) -> Work:
        blueprint = None
        if workflow.reads_blueprint:
            blueprint = await asyncio.to_thread(read_blueprint, client.blueprint)
        return await gather_work(
            held,
            client,
            sealer=self._sealer,
            blueprint=blueprint,
            provider=await self._providers.of_server(client.server_id),
            installation_id=self._installation_id,
            around=self.around,
        )

    async def _attempt(self, step: Step, work: Work, log: FilteringBoundLogger, at: RunStep) -> str:
        """Look, make, look again; returns what was seen."""
        began = datetime.now(UTC)
        log = log.bind(step=step.name, attempt=at.attempt)
        deadline = self._step_deadline_seconds
        if step.is_long or (step.is_long_afresh and not work.provider.copies_templates):
            deadline = max(deadline, self._long_step_deadline_seconds)
        try:
            async with asyncio.timeout(deadline):
                observation = await step.observe(work)
                log.debug("step_observed", holds=observation.holds, seen=observation.seen)
                if not observation.holds:
                    await step.make(work)
                    observation = await step.observe(work)
                    log.debug("step_observed", holds=observation.holds, seen=observation.seen)
                if not observation.holds:
                    raise PostconditionNotMet(
                        f"After “{step.title}”: {observation.seen}.", seen=observation.seen
                    )
        except TimeoutError:
            raise DatabaseBusy(f"“{step.title}” did not finish within {deadline:g} s.") from None
        elapsed = (datetime.now(UTC) - began).total_seconds() * 1000
        log.info("step_done", status="done", durationMs=round(elapsed, 1), seen=observation.seen)
        return observation.seen

    async def _stumble(
        self,
        held: HeldRun,
        client: Client,
        at: RunStep | None,
        error: GhostcrmError,
        log: FilteringBoundLogger,
        *,
        caused_by: Exception,
    ) -> float | None:
        """Record what went wrong; returns the wait before the next attempt, None when it is over."""
        attempt = at.attempt if at else 1
        started_at = (at.started_at if at else None) or datetime.now(UTC)
        waited = (datetime.now(UTC) - started_at).total_seconds()
        decision = self._retry.decide(error, attempt=attempt, waited=waited)
        log = log.bind(step=at.name if at else None, attempt=attempt, error=error.as_record())
        if decision.wait_seconds is not None and at is not None:
            await held.postpone(
                at.position,
                error,
                wait_seconds=decision.wait_seconds,
                next_attempt=decision.next_attempt,
                outcome=decision.outcome,
            )
            log.warning(
                "step_postponed", status="waiting", waitSeconds=round(decision.wait_seconds, 2)
            )
            return decision.wait_seconds
        async with held.failing(at.position if at else None, error) as connection:
            await self._on_failure(connection, client, held.run, error)
            await record(
                connection,
                actor="worker",
                action=WORKFLOWS[held.run.kind].failure,
                client_id=client.id,
                details={"code": error.code, "step": at.name if at else None},
            )
        log.error("run_failed", status="failed", exc_info=caused_by if error.retryable else None)
        return None


def _place(at: RunStep | None, workflow: Workflow) -> str:
    return f"“{workflow.title_of(at.name)}”" if at else "the run"
