"""The full attack on one client database: from inside, and at its doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from ghostcrm_provisioning.client_database.isolation.proof import ISOLATION, prove_isolation
from ghostcrm_provisioning.client_database.isolation.verdict import Finding, Verdict
from ghostcrm_provisioning.errors import IsolationNotProven
from ghostcrm_provisioning.providers.provider import Connection, DatabaseRequest, Login, Provider
from ghostcrm_provisioning.verification.doors import Neighbour, knock_at_doors

# The attack waits for nobody who works in the database: it is made again later.
_LOCK_TIMEOUT = "3s"


async def attack(
    provider: Provider,
    request: DatabaseRequest,
    application: Login,
    *,
    access: Any,
    neighbours: Sequence[Neighbour],
) -> Verdict:
    """Attack a client database, and say what was found.

    Args:
        application: the application's login, with a password that is accepted now.
        access: who may do what, as its blueprint declares it; None when that is not known.

    Raises:
        TransientFailure, ToldToWait: it could not be carried out; nothing was learned.
        PermanentFailure: the same, and trying again alone would not help.
    """
    began = perf_counter()
    async with (
        provider.administer(request.name) as administrator,
        provider.log_in(request.name, application) as as_application,
    ):
        for connection in (administrator, as_application):
            await connection.execute(
                "select set_config('lock_timeout', %s, false)", (_LOCK_TIMEOUT,)
            )
        inside = await _attack_inside(
            administrator,
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


async def _attack_inside(
    connection: Connection, *, application: Connection, logins: tuple[str, ...], access: Any
) -> Verdict:
    began_at, began = datetime.now(UTC), perf_counter()
    findings: tuple[Finding, ...] = ()
    try:
        await prove_isolation(connection, application=application, logins=logins)
    except IsolationNotProven as exposed:
        findings = (Finding("exposed", exposed.message),)
    row = await (await connection.execute(ISOLATION["catalog_fingerprint"])).fetchone()
    return Verdict(
        holds=not findings,
        findings=findings,
        attempts={"select": 1},
        catalog_fingerprint=str(row["fingerprint"]) if row else "",
        began_at=began_at,
        duration_ms=(perf_counter() - began) * 1000,
    )
