"""The full attack on one client database: from inside, and at its doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from ghostcrm_provisioning.client_database.access_matrix import AccessMatrix
from ghostcrm_provisioning.client_database.isolation.proof import verify
from ghostcrm_provisioning.client_database.isolation.verdict import Verdict
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Login, Provider
from ghostcrm_provisioning.verification.doors import Neighbour, knock_at_doors

# The attack waits for nobody who works in the database: it is made again later.
_LOCK_TIMEOUT = "3s"


async def attack(
    provider: Provider,
    request: DatabaseRequest,
    application: Login,
    caretaker: Login,
    *,
    access: AccessMatrix | None,
    neighbours: Sequence[Neighbour],
) -> Verdict:
    """Attack a client database, and say what was found.

    Args:
        application: the application's login, with a password that is accepted now.
        caretaker: our own login there, likewise: what the client has put into its database runs with
            its rights.
        access: who may do what, as its blueprint declares it; None when that is not known.

    Raises:
        TransientFailure, ToldToWait: it could not be carried out; nothing was learned.
        PermanentFailure: the same, and trying again alone would not help.
    """
    began = perf_counter()
    async with (
        provider.administer(request.name) as administrator,
        provider.log_in(request.name, caretaker) as as_caretaker,
        provider.log_in(request.name, application) as as_application,
    ):
        for connection in (administrator, as_caretaker, as_application):
            await connection.execute(
                "select set_config('lock_timeout', %s, false)", (_LOCK_TIMEOUT,)
            )
        inside = await verify(
            administrator,
            caretaker=as_caretaker,
            application=as_application,
            logins=tuple(f"{request.name}_{login.key}" for login in request.logins),
            access=access,
        )
    knocks = await knock_at_doors(provider, request.name, application, neighbours)
    findings = (*inside.findings, *knocks.findings)
    return replace(
        inside,
        holds=not findings,
        findings=findings,
        attempts={**inside.attempts, **knocks.attempts},
        duration_ms=(perf_counter() - began) * 1000,
    )
