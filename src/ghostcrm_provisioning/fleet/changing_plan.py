"""How a client gets another plan: what it would mean, and having it done.

```python
preview = await preview_plan_change(installation, client_id, "starter")
if preview.fits:
    change = await change_plan(installation, client_id, "starter", requested_by="billing")
```

A change is accepted here, in one transaction, and carried out by a worker
(:mod:`~ghostcrm_provisioning.provisioning.change_plan`); :func:`~ghostcrm_provisioning.following.follow`
waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ghostcrm_provisioning.client_database.blueprint import Blueprint, Plan, read_blueprint
from ghostcrm_provisioning.client_database.plan_settings import (
    is_plan_applied,
    list_features_now,
    refuse_what_does_not_fit,
)
from ghostcrm_provisioning.client_database.plan_usage import (
    LostFeature,
    Usage,
    compare_usage,
    find_what_needs,
    only_looking,
)
from ghostcrm_provisioning.client_database.roles import APPLICATION, OWNER
from ghostcrm_provisioning.clients.client import Client, find_client, refuse_who_is_closed
from ghostcrm_provisioning.errors import ClientNotReady
from ghostcrm_provisioning.providers.provider import Connection
from ghostcrm_provisioning.provisioning.work import enable_login_as_sealed, find_request
from ghostcrm_provisioning.registrars.registration import AcceptedPlanChange
from ghostcrm_provisioning.wiring import Installation


@dataclass(frozen=True)
class PlanPreview:
    """What another plan would mean for a client, as it was seen now.

    ``usages`` is None where the blueprint does not count. ``connections_now`` is what was observed;
    -1 is any number. Both are None where the application has no login that could be limited.
    """

    client: Client
    plan: str
    usages: tuple[Usage, ...] | None
    connections_now: int | None
    connections_then: int | None
    gained: tuple[str, ...]
    lost: tuple[LostFeature, ...]
    titles: dict[str, str]

    @property
    def over(self) -> tuple[Usage, ...]:
        """What stands in the way: over a limit that becomes lower."""
        return tuple(usage for usage in self.usages or () if usage.is_in_the_way)

    @property
    def fits(self) -> bool:
        """Whether the change is accepted without being told to allow what is over."""
        return not self.over

    def as_document(self) -> dict[str, Any]:
        return {
            "clientId": str(self.client.id),
            "clientName": self.client.name,
            "plan": self.client.plan,
            "newPlan": self.plan,
            "fits": self.fits,
            "counted": self.usages is not None,
            "resources": [
                {
                    "resource": usage.resource,
                    "used": usage.used,
                    "allowedNow": usage.allowed_now,
                    "allowedThen": usage.allowed_then,
                    "overBy": usage.over_by,
                }
                for usage in self.usages or ()
            ],
            "connections": {
                "allowedNow": self.connections_now,
                "allowedThen": self.connections_then,
            },
            "featuresGained": [
                {"key": key, "title": self.titles.get(key, key)} for key in self.gained
            ],
            "featuresLost": [
                {
                    "key": lost.key,
                    "title": self.titles.get(lost.key, lost.key),
                    "usedBy": [
                        {"resource": resource, "used": used} for resource, used in lost.used_by
                    ],
                }
                for lost in self.lost
            ],
        }


async def preview_plan_change(
    installation: Installation, client_id: UUID, plan: str
) -> PlanPreview:
    """What would be over, and by how much, if the client had that plan; changes nothing of it.

    Raises:
        NotFound: there is no such client.
        UnknownPlan: its blueprint has no such plan.
        ClientNotReady: it has nothing yet that could be counted.
        ServerUnreachable, DatabaseBusy: its database cannot be asked now.
    """
    client, blueprint = await _find(installation, client_id)
    then = blueprint.plan(plan)
    refuse_who_is_closed(client)
    if client.status != "ready":
        raise ClientNotReady(
            f"{client.name} is not ready ({client.status}), so its plan cannot be changed yet.",
            next_step=f"Ask why with `ghostcrm clients explain {client.id}`.",
        )
    provider = await installation.providers.of_server(client.server_id)
    async with installation.control.connection() as control:
        request, _ = await find_request(
            control, installation.sealer, client, installation_id=installation.id
        )
    has_login = await provider.offers_login(request, APPLICATION)
    connections = await provider.connection_limit(request, APPLICATION) if has_login else None
    async with _as_owner(installation, client) as connection, only_looking(connection):
        usages = await compare_usage(connection, then)
        features = await list_features_now(connection)
        if features is None:
            now = blueprint.plans.get(client.plan)
            features = () if now is None else now.features
        missing = tuple(each for each in features if each not in then.features)
        lost = await find_what_needs(connection, missing, then)
    return PlanPreview(
        client=client,
        plan=plan,
        usages=usages,
        connections_now=connections,
        connections_then=then.connection_limit if has_login else None,
        gained=tuple(each for each in then.features if each not in features),
        lost=lost,
        titles=blueprint.features,
    )


async def change_plan(
    installation: Installation,
    client_id: UUID,
    plan: str,
    *,
    requested_by: str,
    allow_over_limit: bool = False,
) -> AcceptedPlanChange:
    """Have a client's plan changed; returns when that cannot be lost any more.

    The same wish while it is being carried out is the same run; a plan that the client has already
    is nothing to do, unless its database says something else: whoever owns the schema can write there,
    and what is declared may have changed since. Then it is applied anew.

    Args:
        allow_over_limit: accept what is over a limit that becomes lower: nothing is deleted, and
            nothing new is taken until it is below.

    Raises:
        NotFound, UnknownPlan: nothing was changed.
        ClientNotReady: the client is not in use yet.
        PlanDoesNotFit: what is used is over a limit that becomes lower, as it was counted now. It is
            counted again when the plan is applied, and the run fails should it not fit then.
        Conflict: something else is being done for the client.
        ServerUnreachable, DatabaseBusy: the client has the plan, and its database cannot be asked now
            whether it says so.
    """
    client, blueprint = await _find(installation, client_id)
    then = blueprint.plan(plan)
    repeated = await installation.registrar.find_plan_change(client_id, plan)
    applied_anew = False
    if repeated is not None and repeated.run_id is None:
        if await _stands(installation, client, then):
            return repeated
        applied_anew = True
    elif repeated is not None and not allow_over_limit:
        return repeated
    if not allow_over_limit and (
        applied_anew or _allows_less(blueprint.plans.get(client.plan), then)
    ):
        preview = await preview_plan_change(installation, client_id, plan)
        refuse_what_does_not_fit(preview.usages or (), plan)
    return await installation.registrar.change_plan(
        client_id,
        plan,
        priority=then.priority,
        allow_over_limit=allow_over_limit,
        requested_by=requested_by,
        applied_anew=applied_anew,
    )


async def _stands(installation: Installation, client: Client, plan: Plan) -> bool:
    """Whether the client's database and its application's login are as its plan says, seen now."""
    provider = await installation.providers.of_server(client.server_id)
    async with installation.control.connection() as control:
        request, _ = await find_request(
            control, installation.sealer, client, installation_id=installation.id
        )
    if await provider.offers_login(request, APPLICATION):
        limit = await provider.connection_limit(request, APPLICATION)
        if limit not in {None, plan.connection_limit}:
            return False
    async with _as_owner(installation, client) as connection:
        return await is_plan_applied(connection, client.plan, plan)


async def takes_something(installation: Installation, client_id: UUID, plan: str) -> bool:
    """Whether that plan allows a client less of anything than the one it has.

    Raises:
        NotFound, UnknownPlan.
    """
    client, blueprint = await _find(installation, client_id)
    return _allows_less(blueprint.plans.get(client.plan), blueprint.plan(plan))


def _allows_less(now: Plan | None, then: Plan) -> bool:
    """A plan that is no longer declared may have allowed everything."""
    if now is None:
        return True
    limits = (
        (now.max_users, then.max_users),
        (now.max_contacts, then.max_contacts),
        (now.max_storage_bytes, then.max_storage_bytes),
        (now.connection_limit, then.connection_limit),
    )
    return bool(set(now.features) - set(then.features)) or any(
        new is not None and (old is None or new < old) for old, new in limits
    )


async def _find(installation: Installation, client_id: UUID) -> tuple[Client, Blueprint]:
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
    return client, await asyncio.to_thread(read_blueprint, client.blueprint)


@asynccontextmanager
async def _as_owner(installation: Installation, client: Client) -> AsyncIterator[Connection]:
    """With the rights of the schema's owner and no others: see :meth:`Work.as_owner`."""
    async with installation.control.connection() as control:
        request, _ = await find_request(
            control, installation.sealer, client, installation_id=installation.id
        )
    provider = await installation.providers.of_server(client.server_id)
    async with installation.control.transaction() as control:
        login = await enable_login_as_sealed(
            control, installation.sealer, client, provider, request, OWNER
        )
    async with provider.log_in(request, login) as connection:
        yield connection
