"""The full attack on one client database: from inside, and at its doors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from time import perf_counter

from ghostcrm_provisioning.client_database.access_matrix import AccessMatrix
from ghostcrm_provisioning.client_database.isolation.proof import (
    list_functions_for_users,
    list_tables,
    verify,
)
from ghostcrm_provisioning.client_database.isolation.server import MadeLogin
from ghostcrm_provisioning.client_database.isolation.verdict import Verdict
from ghostcrm_provisioning.errors import GhostcrmError
from ghostcrm_provisioning.providers.provider import (
    DatabaseRequest,
    Login,
    Provider,
    ServiceKnocks,
)
from ghostcrm_provisioning.provisioning.work import findings_of, ground_of
from ghostcrm_provisioning.verification.doors import API, Knocks, Neighbour, knock_at_doors

# The attack waits for nobody who works in the database: it is made again later.
_LOCK_TIMEOUT = "3s"


async def attack(
    provider: Provider,
    request: DatabaseRequest,
    application: Login | None,
    caretaker: Login | None,
    *,
    access: AccessMatrix | None,
    neighbours: Sequence[Neighbour],
    knock_at_services: bool = True,
) -> Verdict:
    """Attack a client database, and say what was found.

    Args:
        application: the application's login, with a password that is accepted now; None where there is
            none, or it is shut out.
        caretaker: our own login there, likewise: what the client has put into its database runs with
            its rights. None where the administrator has no more rights than that.
        access: who may do what, as its blueprint declares it; None when that is not known.
        knock_at_services: also ask the services beside the database as strangers do.

    Raises:
        TransientFailure, ToldToWait: it could not be carried out; nothing was learned.
        PermanentFailure: the same, and trying again alone would not help.
    """
    began = perf_counter()
    async with AsyncExitStack() as connections:
        enter = connections.enter_async_context
        administrator = await enter(provider.administer(request))
        as_caretaker = await enter(
            provider.administer(request)
            if caretaker is None
            else provider.log_in(request, caretaker)
        )
        as_application = (
            None if application is None else await enter(provider.log_in(request, application))
        )
        for connection in (administrator, as_caretaker, as_application):
            if connection is not None:
                await connection.execute(
                    "select set_config('lock_timeout', %s, false)", (_LOCK_TIMEOUT,)
                )
        ground = await ground_of(provider, request, administrator)
        inside = await verify(
            administrator,
            caretaker=as_caretaker,
            application=as_application,
            logins=(
                *(f"{request.name}_{login.key}" for login in request.logins),
                *await provider.who_else_may_enter(request, administrator),
            ),
            access=access,
            made=[
                MadeLogin(
                    f"{request.name}_{login.key}",
                    login.member_of,
                    acts_as=login.acts_as,
                    inherits=login.inherits,
                    creates=login.creates,
                    temporary=login.temporary,
                )
                for login in request.logins
            ],
            ground=ground,
        )
        tables = await list_tables(administrator, ground=ground)
        functions = await list_functions_for_users(administrator, ground=ground)
    knocks = Knocks((), {})
    if application is not None:
        knocks = await knock_at_doors(provider, request.name, application, neighbours)
    services = provider.services(request) if knock_at_services else None
    outside = ServiceKnocks()
    attempts = {**inside.attempts, **knocks.attempts}
    if services is not None:
        try:
            outside = await services.knock(tables, functions)
            attempts[API] = outside.attempts
        except GhostcrmError:
            # What was found is found, whether or not these can be asked: whoever stops them, or deletes a key
            # of theirs, keeps nobody out of quarantine.
            if not (inside.findings or knocks.findings):
                raise
    findings = (*inside.findings, *knocks.findings, *findings_of(outside))
    return replace(
        inside,
        holds=not findings,
        findings=findings,
        attempts=attempts,
        duration_ms=(perf_counter() - began) * 1000,
    )
