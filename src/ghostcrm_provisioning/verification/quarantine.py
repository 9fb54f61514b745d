"""Quarantine: a client whose isolation is not proven is closed to everybody, until it is proven again.

What is promised, whatever happens to this process in between:

* The wish stands in the control database before anything is made, in the transaction that stores the
  verdict; from that moment on nobody is given a connection.
* ``quarantined`` is set after the database was observed to be closed and empty of sessions, and
  ``ready`` again after its doors were observed to be as they were made.
* Whoever comes later finishes what was begun: a worker, or the next command about this client.
"""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.verdict import VERDICTS
from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import PostconditionNotMet
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Provider
from ghostcrm_provisioning.provisioning_log import get_logger


async def make_quarantine(
    control: ControlDatabase, provider: Provider, client: Client, request: DatabaseRequest
) -> None:
    """Close the client's database, and say so once that was observed.

    Raises:
        PostconditionNotMet: somebody is still in it, whom we cannot send away.
    """
    await provider.close(request)
    seen = await provider.observe_closed(request)
    if not seen.holds:
        raise PostconditionNotMet(
            f"{client.name} is not closed yet: {seen.seen}.",
            next_step="Have a superuser end those sessions; then run this again, or let a worker do it.",
            database=request.name,
        )
    async with control.transaction() as connection:
        marked = await connection.execute(VERDICTS["mark_quarantined"], {"client_id": client.id})
        if await marked.fetchone() is None:
            return
        await record(
            connection,
            actor="verifier",
            action="client.quarantined",
            client_id=client.id,
            details={"database": request.name},
        )
    _log(client).warning("client_quarantined", status="quarantined", seen=seen.seen)


async def make_release(
    control: ControlDatabase, provider: Provider, client: Client, request: DatabaseRequest
) -> None:
    """Open the doors of a client whose release is wished for, and say so once that was observed.

    Raises:
        PostconditionNotMet: they are not as they should be.
    """
    await provider.reopen(request)
    seen = await provider.observe(request)
    if not seen.holds:
        # Open, yet not as it is to be: it is closed again, and stays so until that is mended.
        await control.execute(VERDICTS["want_quarantine_again"], client_id=client.id)
        await provider.close(request)
        raise PostconditionNotMet(
            f"{client.name} stays in quarantine: opened again, {seen.seen}.",
            next_step="Mend what is named, then release the client again.",
            database=request.name,
        )
    async with control.transaction() as connection:
        marked = await connection.execute(VERDICTS["mark_released"], {"client_id": client.id})
        if await marked.fetchone() is None:
            return
        await record(
            connection,
            actor="verifier",
            action="client.released",
            client_id=client.id,
            details={"database": request.name},
        )
    _log(client).info("client_released", status="ready", seen=seen.seen)


def _log(client: Client) -> FilteringBoundLogger:
    return get_logger("verification").bind(clientId=str(client.id), clientName=client.name)
