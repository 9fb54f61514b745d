"""Answers the question “why is this client not ready?”: what, since when, and what to do.

A client that is ready may have a change of its plan under way, or one that failed: that is said, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from ghostcrm_provisioning.clients.client import Client, find_client
from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.clients.lifecycle import (
    DELETE,
    RESUME,
    SUSPEND,
    LifecycleChange,
    find_lifecycle_change,
    find_newest_export,
)
from ghostcrm_provisioning.clients.plan_change import PlanChange, find_plan_change
from ghostcrm_provisioning.clients.rotation import Rotation, find_rotation
from ghostcrm_provisioning.clients.run import RUNS, Run, RunStep, find_latest_run, list_steps
from ghostcrm_provisioning.clients.verdict import StoredVerdict, list_verdicts
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.provisioning.client_database_provisioner import WORKFLOWS


@dataclass(frozen=True)
class Explanation:
    """One sentence, then its parts. ``fix`` and ``then`` are what the reader can do."""

    client_id: UUID
    client_name: str
    status: str
    sentence: str
    step: str | None = None
    step_number: int | None = None
    steps: int | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    cause: str | None = None
    code: str | None = None
    retryable: bool | None = None
    since: datetime | None = None
    next_attempt_at: datetime | None = None
    fix: str | None = None
    then: str | None = None
    findings: tuple[dict[str, Any], ...] = ()
    # On its way into quarantine, or in it: nobody is let in, whatever the status is yet.
    is_closed: bool = False
    # What can be asked for, where it does not go on by itself.
    remedy: Literal["retry", "release", "resume"] | None = None

    @property
    def ready(self) -> bool:
        return self.status == "ready" and not self.is_closed

    def as_document(self) -> dict[str, Any]:
        return {
            "clientId": str(self.client_id),
            "clientName": self.client_name,
            "status": self.status,
            "ready": self.ready,
            "sentence": self.sentence,
            "step": self.step,
            "stepNumber": self.step_number,
            "steps": self.steps,
            "attempt": self.attempt,
            "maxAttempts": self.max_attempts,
            "cause": self.cause,
            "code": self.code,
            "retryable": self.retryable,
            "since": instant(self.since),
            "nextAttemptAt": instant(self.next_attempt_at),
            "fix": self.fix,
            "then": self.then,
            "findings": list(self.findings),
        }


@dataclass(frozen=True)
class _Facts:
    client: Client
    run: Run
    steps: list[RunStep]
    standing_workers: int
    any_workers: int
    ahead: int
    max_attempts: int
    plan_change: PlanChange | None = None
    verdict: StoredVerdict | None = None
    change: LifecycleChange | None = None
    rotation: Rotation | None = None
    # Where the newest export of the client lies.
    export: str | None = None


async def explain(
    control: ControlDatabase, client_id: UUID, *, lease_seconds: float, max_attempts: int
) -> Explanation:
    """Raises NotFound when there is no such client."""
    async with control.transaction() as connection:
        await connection.execute("set transaction isolation level repeatable read, read only")
        client = await find_client(connection, client_id)
        run = await find_latest_run(connection, client_id)
        steps = await list_steps(connection, run.id)
        plan_change = await find_plan_change(connection, run.id)
        workers = await (
            await connection.execute(RUNS["count_alive_workers"], {"lease_seconds": lease_seconds})
        ).fetchone() or {"standing": 0, "any_kind": 0}
        ahead = await (
            await connection.execute(RUNS["ahead_in_queue"], {"run_id": run.id})
        ).fetchone() or {"ahead": 0}
        verdicts = await list_verdicts(connection, client_id, limit=1)
        change = await find_lifecycle_change(connection, run.id)
        export = await find_newest_export(connection, client_id)
        rotation = await find_rotation(connection, run.id)
    return _explain(
        _Facts(
            client,
            run,
            steps,
            workers["standing"],
            workers["any_kind"],
            ahead["ahead"],
            max_attempts,
            plan_change,
            verdicts[0] if verdicts else None,
            change,
            rotation,
            export,
        )
    )


def _explain(facts: _Facts) -> Explanation:
    client, run = facts.client, facts.run
    stands = {client.status, client.wanted_status}
    if client.status == "deleted":
        return _explain_deleted(facts)
    if "quarantined" in stands and "deleted" not in stands:
        return _explain_quarantine(facts)
    is_waking = run.kind == RESUME and not run.is_finished
    if facts.change is not None and (stands & {"suspended", "deleted"} or is_waking):
        return _explain_lifecycle(facts, facts.change)
    if client.status == "ready" and facts.plan_change is not None and run.status != "succeeded":
        return _explain_plan_change(facts, facts.plan_change)
    if client.status == "ready" and facts.rotation is not None and run.status != "succeeded":
        return _explain_rotation(facts, facts.rotation)
    if client.status == "ready":
        return Explanation(
            client.id,
            client.name,
            client.status,
            f"{client.name} is ready.",
            since=client.ready_at,
            then=f"ghostcrm clients connect {client.id}",
        )
    if run.status == "queued":
        return _explain_queued(facts)
    step, title, error, parts = _where_it_stands(facts)
    if run.status == "failed":
        return Explanation(
            client.id,
            client.name,
            client.status,
            f"{client.name} is not ready: it failed at “{title}”: {_ended(error.get('message'))}",
            **parts | {"since": run.finished_at},
            fix=error.get("nextStep"),
            then=f"ghostcrm clients retry {client.id}",
            remedy="retry",
        )
    if run.status == "waiting":
        seconds = _seconds_until(run.next_attempt_at)
        return Explanation(
            client.id,
            client.name,
            client.status,
            f"{client.name} is not ready: “{title}” is tried again in {seconds} s "
            f"(attempt {step.attempt if step else 1} of {facts.max_attempts}).",
            **parts,
            fix=error.get("nextStep"),
            then="Nothing; it goes on by itself."
            if facts.any_workers
            else "Start a worker: ghostcrm up",
        )
    return Explanation(
        client.id,
        client.name,
        client.status,
        f"{client.name} is being provisioned: “{title}” is running."
        if facts.any_workers
        else f"{client.name} is not ready: its worker died at “{title}”, and no other is running.",
        **parts,
        then="Nothing; it goes on by itself."
        if facts.any_workers
        else "Start a worker: ghostcrm up",
    )


def _where_it_stands(
    facts: _Facts,
) -> tuple[RunStep | None, str, dict[str, Any], dict[str, Any]]:
    """The step at which the run stands, what it is called, its error, and the explanation's parts."""
    run = facts.run
    workflow = WORKFLOWS[run.kind]
    step = next((step for step in facts.steps if step.status != "done"), None)
    title = workflow.title_of(step.name).lower() if step else workflow.title.lower()
    error = run.error or (step.error if step else None) or {}
    parts: dict[str, Any] = {
        "step": step.name if step else None,
        "step_number": step.position if step else None,
        "steps": len(facts.steps),
        "attempt": step.attempt if step else None,
        "max_attempts": facts.max_attempts,
        "cause": error.get("message"),
        "code": error.get("code"),
        "retryable": error.get("retryable"),
        "since": step.started_at if step else run.started_at,
        "next_attempt_at": run.next_attempt_at,
    }
    return step, title, error, parts


def _seconds_until(moment: datetime | None) -> int:
    if moment is None:
        return 0
    return max(0, round((moment - datetime.now(UTC)).total_seconds()))


def _explain_plan_change(facts: _Facts, change: PlanChange) -> Explanation:
    """A client that is ready, on the plan that it has, and the change of it that has not succeeded."""
    client, run = facts.client, facts.run
    step, title, error, parts = _where_it_stands(facts)
    ready = f"{client.name} is ready on the plan {client.plan}"
    then = "Nothing; it goes on by itself."
    fix: str | None = None
    if run.status == "queued":
        parts = {"steps": len(facts.steps), "since": run.queued_at}
    if run.status == "failed":
        said = f"its change to {change.to_plan} failed at “{title}”: {_ended(error.get('message'))}"
        if any(each.status == "done" for each in facts.steps):
            said += f" The limits in its database are those of {change.to_plan} already."
        parts["since"] = run.finished_at
        fix = error.get("nextStep")
        then = (
            f"ghostcrm clients retry {client.id}; or, to stay on {client.plan}, "
            f"ghostcrm clients change-plan {client.id} {client.plan}"
        )
    elif not facts.any_workers:
        said = f"no worker is running to change it to {change.to_plan}."
        parts |= {"cause": "No workers are running.", "code": "no_workers"}
        then = "ghostcrm up"
    elif run.status == "queued":
        said = f"its change to {change.to_plan} waits for a worker to take it up."
    elif run.status == "waiting":
        said = (
            f"its change to {change.to_plan} goes on in {_seconds_until(run.next_attempt_at)} s: "
            f"“{title}” is tried again (attempt {step.attempt if step else 1} of "
            f"{facts.max_attempts})."
        )
        fix = error.get("nextStep")
    else:
        said = f"it is being changed to {change.to_plan}: “{title}” is running."
    return Explanation(
        client.id,
        client.name,
        client.status,
        f"{ready}; {said}",
        **parts,
        fix=fix,
        then=then,
        remedy="retry" if run.status == "failed" else None,
    )


def _explain_rotation(facts: _Facts, rotation: Rotation) -> Explanation:
    """A client that is ready, and the exchange of its credentials that has not succeeded."""
    client, run = facts.client, facts.run
    step, title, error, parts = _where_it_stands(facts)
    what = " and ".join(
        word
        for word, is_meant in (("passwords", rotation.passwords), ("keys", rotation.keys))
        if is_meant
    )
    then = "Nothing; it goes on by itself."
    fix: str | None = None
    if run.status == "failed":
        said = f"the exchange of its {what} failed at “{title}”: {_ended(error.get('message'))}"
        if rotation.replaced_at is None and rotation.passwords:
            said += " `clients connect` gives what opens it, old or new."
        elif rotation.replaced_at is not None:
            said += " The new ones are in use already."
        parts["since"] = run.finished_at
        fix = error.get("nextStep")
        then = f"ghostcrm clients retry {client.id}"
    elif not facts.any_workers:
        said = f"no worker is running to exchange its {what}."
        parts |= {"cause": "No workers are running.", "code": "no_workers"}
        then = "ghostcrm up"
    elif run.status == "queued":
        said = f"the exchange of its {what} waits for a worker to take it up."
        parts = {"steps": len(facts.steps), "since": run.queued_at}
    elif run.status == "waiting":
        said = (
            f"the exchange of its {what} goes on in {_seconds_until(run.next_attempt_at)} s: "
            f"“{title}” is tried again (attempt {step.attempt if step else 1} of "
            f"{facts.max_attempts})."
        )
        fix = error.get("nextStep")
    else:
        said = f"its {what} are being exchanged: “{title}” is running."
    return Explanation(
        client.id,
        client.name,
        client.status,
        f"{client.name} is ready; {said}",
        **parts,
        fix=fix,
        then=then,
        remedy="retry" if run.status == "failed" else None,
    )


_WISHES = {SUSPEND: "suspended", RESUME: "resumed", DELETE: "deleted"}


def _explain_lifecycle(facts: _Facts, change: LifecycleChange) -> Explanation:
    """A client that is suspended, or on its way to that, back from it, or to its end."""
    client, run = facts.client, facts.run
    step, title, error, parts = _where_it_stands(facts)
    wish = _WISHES[change.kind]
    closed = "nobody is let in" if change.kind != DELETE else "nobody is let in any more"
    if client.status == "ready":
        # Its database was not seen closed: whoever has a connection may still get in.
        closed = "nobody is given a connection any more"
    then = "Nothing; it goes on by itself."
    fix: str | None = None
    remedy: Literal["retry", "release", "resume"] | None = None
    if run.status == "succeeded":
        because = f" ({change.reason})" if change.reason else ""
        sentence = f"{client.name} is suspended{because}: nobody is let in, and everything stays."
        parts = {"since": client.suspended_at}
        then, remedy = f"ghostcrm clients resume {client.id}", "resume"
    elif run.status == "failed":
        sentence = (
            f"{client.name} could not be {wish}: it failed at “{title}”: {_ended(error.get('message'))} "
            f"Until that is done, {closed}."
        )
        parts["since"] = run.finished_at
        fix, remedy = error.get("nextStep"), "retry"
        then = f"ghostcrm clients retry {client.id}"
        if change.kind == SUSPEND:
            then += f"; or, to have it back, ghostcrm clients resume {client.id}"
        elif change.kind == DELETE and change.with_export:
            then += f"; or, without an export, ghostcrm clients delete {client.id} --no-export"
    elif not facts.any_workers:
        sentence = f"{client.name} is to be {wish}, and no worker is running: {closed}."
        parts |= {"cause": "No workers are running.", "code": "no_workers"}
        then = "ghostcrm up"
    elif run.status == "queued":
        sentence = f"{client.name} is to be {wish}, and waits for a worker to take it up: {closed}."
        parts = {"steps": len(facts.steps), "since": run.queued_at}
    elif run.status == "waiting":
        sentence = (
            f"{client.name} is being {wish}: “{title}” is looked at again in "
            f"{_seconds_until(run.next_attempt_at)} s (attempt {step.attempt if step else 1} of "
            f"{facts.max_attempts})."
        )
        fix = error.get("nextStep")
    else:
        sentence = f"{client.name} is being {wish}: “{title}” is running."
    return Explanation(
        client.id,
        client.name,
        client.status,
        sentence,
        **parts,
        fix=fix,
        then=then,
        is_closed=True,
        remedy=remedy,
    )


def _explain_deleted(facts: _Facts) -> Explanation:
    client, change = facts.client, facts.change
    because = f" ({change.reason})" if change is not None and change.reason else ""
    return Explanation(
        client.id,
        client.name,
        client.status,
        f"{client.name} is deleted{because}; seen then: {client.absence}.",
        since=client.deleted_at,
        then=None if facts.export is None else f"Its newest export: {facts.export}",
        is_closed=True,
    )


def _explain_queued(facts: _Facts) -> Explanation:
    client = facts.client
    if facts.any_workers:
        others = "it is next" if not facts.ahead else f"{facts.ahead} before it"
        sentence = f"{client.name} is waiting for a worker to take it up; {others}."
        then = "Nothing; it starts by itself."
    else:
        sentence = (
            f"{client.name} is not ready: no workers are running. Nothing will be provisioned until "
            "one starts."
        )
        then = "ghostcrm up"
    return Explanation(
        client.id,
        client.name,
        client.status,
        sentence,
        steps=len(facts.steps),
        cause=None if facts.any_workers else "No workers are running.",
        code=None if facts.any_workers else "no_workers",
        since=facts.run.created_at,
        then=then,
    )


def _explain_quarantine(facts: _Facts) -> Explanation:
    """What the latest attack found stands there, for that is what has to be mended; once an attack finds
    nothing any more, only the release is left to do."""
    client, verdict = facts.client, facts.verdict
    is_mended = verdict is not None and verdict.holds
    findings = () if verdict is None else tuple(verdict.findings)
    if client.wanted_status != "quarantined":
        sentence = f"{client.name} was proven again; its database is being opened."
    elif client.status != "quarantined":
        sentence = (
            f"{client.name} is not proven to be isolated: nobody is given a connection any more, and its "
            "database is being closed."
        )
    elif is_mended:
        sentence = f"{client.name} is in quarantine, but the latest attack found nothing any more: release it."
    else:
        sentence = (
            f"{client.name} is in quarantine: its isolation is not proven, so nobody is let into its "
            "database."
        )
    cause = None
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        cause = f"{findings[0]['sentence']}{more}"
    return Explanation(
        client.id,
        client.name,
        client.status,
        sentence,
        cause=cause,
        code="isolation_not_proven" if findings else None,
        retryable=False,
        since=client.quarantined_at or (verdict.began_at if verdict else None),
        fix=None if is_mended else _how_to_mend(client),
        then=f"ghostcrm clients release {client.id}",
        findings=findings,
        is_closed=True,
        remedy="release" if client.status == "quarantined" else None,
    )


def _how_to_mend(client: Client) -> str:
    """Who still gets into a client's database that is closed."""
    if client.provider == "supabase":
        return "Mend what was found in the SQL editor of the project's dashboard at Supabase: nobody else gets in."
    return (
        "Mend what was found, as a superuser or as the owner of what is named: nobody else gets in."
    )


def _ended(sentence: str | None) -> str:
    if not sentence:
        return "no reason was recorded."
    return sentence if sentence.endswith((".", ")")) else f"{sentence}."
