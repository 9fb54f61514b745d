"""How a client that is in use gets another plan.

```
apply plan settings  the limits and features of the wished plan stand in the client's database
limit connections    its application may have as many connections as the wished plan allows
record plan          what was observed is what we say: the client has the plan
```

The client stays ready and can be used all the while. Each step looks whether it is already so, makes
it so, and looks again, as those of :mod:`~ghostcrm_provisioning.provisioning.provision_client` do.

Whether everything fits into the wished plan is looked at again in the transaction that applies it.
What others are inserting at that very moment still counts under the old plan; what they begin
afterwards is held against the new one. Nothing is ever deleted.
"""

from __future__ import annotations

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.plan_settings import (
    change_plan,
    observe_changed_plan,
)
from ghostcrm_provisioning.client_database.roles import APPLICATION
from ghostcrm_provisioning.clients.plan_change import (
    PLAN_CHANGES,
    PlanChange,
    find_plan_change,
)
from ghostcrm_provisioning.errors import NotFound
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import Login
from ghostcrm_provisioning.provisioning.work import Work
from ghostcrm_provisioning.provisioning.workflow import Step, Workflow
from ghostcrm_provisioning.provisioning_log import get_logger


async def _asked_for(work: Work) -> PlanChange:
    async with work.held.connection() as control:
        change = await find_plan_change(control, work.held.run.id)
    if change is None:
        raise NotFound(f"The run {work.held.run.id} does not say which plan it is about.")
    return change


async def plan_is_applied(work: Work) -> Observation:
    seen = await observe_changed_plan(await work.as_owner(), work.client.wanted_plan, work.plan)
    if not seen.holds or (services := work.services) is None:
        return seen
    settings = await services.observe_settings(work.plan.max_storage_bytes)
    return Observation(settings.holds, f"{seen.seen}; {settings.seen}")


async def apply_plan_settings(work: Work) -> None:
    change = await _asked_for(work)
    await change_plan(
        await work.as_owner(),
        work.client.wanted_plan,
        work.plan,
        allow_over_limit=change.allow_over_limit,
        still_ours=work.held.check,
    )
    if (services := work.services) is not None:
        await work.held.check()
        await services.ensure_settings(work.plan.max_storage_bytes)


def _application(work: Work) -> Login:
    """With the limit of the wished plan, as all logins of the request are."""
    return next(each for each in work.request.logins if each.key == APPLICATION)


async def connections_are_limited(work: Work) -> Observation:
    if not await work.provider.offers_login(work.request, APPLICATION):
        return Observation(True, "the application has no login of its own there")
    seen = await work.provider.connection_limit(work.request, APPLICATION)
    if seen is None:
        return Observation(False, "the application's login is not there")
    return Observation(
        seen == _application(work).connection_limit, f"the application may have {seen} connections"
    )


async def limit_connections(work: Work) -> None:
    await work.held.check()
    await work.provider.limit_connections(work.request, _application(work))


async def plan_is_recorded(work: Work) -> Observation:
    async with work.held.connection() as control:
        row = await (
            await control.execute(PLAN_CHANGES["is_recorded"], {"run_id": work.held.run.id})
        ).fetchone()
    if row is None or not row["holds"]:
        return Observation(False, "not recorded yet")
    return Observation(True, f"{work.client.name} has the plan {work.client.wanted_plan}")


async def record_plan(work: Work) -> None:
    change = await _asked_for(work)
    parameters = {"client_id": change.client_id, "run_id": change.run_id, "plan": change.to_plan}
    async with work.held.holding() as connection:
        await connection.execute(PLAN_CHANGES["record_plan"], parameters)
        await connection.execute(PLAN_CHANGES["record_plan_change"], parameters)
        await record(
            connection,
            actor="worker",
            action="client.plan_changed",
            client_id=change.client_id,
            details={"from": change.from_plan, "to": change.to_plan},
        )
    get_logger("provisioning").info(
        "client_plan_changed",
        clientId=str(work.client.id),
        clientName=work.client.name,
        runId=str(change.run_id),
        status="ready",
        fromPlan=change.from_plan,
        toPlan=change.to_plan,
    )


CHANGE_PLAN = Workflow(
    kind="change_plan",
    title="Change plan",
    failure="client.plan_change_failed",
    steps=(
        Step("apply_plan_settings", "Apply plan settings", plan_is_applied, apply_plan_settings),
        Step("limit_connections", "Limit connections", connections_are_limited, limit_connections),
        Step("record_plan", "Record plan", plan_is_recorded, record_plan),
    ),
)
