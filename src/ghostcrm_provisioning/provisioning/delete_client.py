"""How a client is deleted, for ever, and how that is known.

```
close database   nobody may enter it any more, and nobody is in it
export           a dump of the client's data as it was at the end is written and seen
remove database  it is gone, with its logins; only what carries our stamp is ever removed
```

When nothing of it was seen any more, that is recorded, with what was seen and when: the certificate. In the
same transaction what opened the database is erased, and the admin's password with it. The client's name,
plan, admin's email and history stay.
"""

from __future__ import annotations

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.clients.client import CLIENTS, Client
from ghostcrm_provisioning.clients.lifecycle import DELETE, LIFECYCLE
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.errors import Conflict, PostconditionNotMet
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.exporting import (
    export_is_taken,
    find_export_of_suspension,
    find_what_was_asked,
    take_export,
)
from ghostcrm_provisioning.provisioning.work import Work
from ghostcrm_provisioning.provisioning.workflow import Step, Workflow


async def database_is_closed(work: Work) -> Observation:
    """The client is being deleted, and nothing else any more, as soon as this holds."""
    seen = await _nobody_can_enter(work)
    if seen.holds:
        async with work.held.holding() as control:
            await control.execute(LIFECYCLE["mark_deleting"], {"client_id": work.client.id})
    return seen


async def _nobody_can_enter(work: Work) -> Observation:
    if work.client.handed_over_at is None:
        return Observation(True, "it was never handed over: nobody has what opens it")
    absent = await work.provider.observe_absent(work.request)
    if absent.holds:
        return absent
    suspended = await work.provider.observe_suspended(work.request)
    if suspended.holds:
        return suspended
    running = await work.provider.observe_running(work.request)
    if not running.holds and not (await find_what_was_asked(work)).with_export:
        return Observation(True, f"{running.seen}: it is removed as it is")
    return await work.provider.observe_closed(work.request)


async def close_database(work: Work) -> None:
    await work.held.check()
    await work.provider.close(work.request)


async def last_export_is_taken(work: Work) -> Observation:
    seen = await export_is_taken(work)
    if seen.holds:
        return seen
    if (absent := await work.provider.observe_absent(work.request)).holds:
        return Observation(True, f"{absent.seen}, so there is nothing to export")
    if not (await work.provider.observe_running(work.request)).holds:
        # Nobody could enter it since it was suspended: what was exported then is all there is.
        then = await find_export_of_suspension(work)
        if then.holds:
            return Observation(
                True, f"it is suspended, and its export of then is there: {then.seen}"
            )
    return seen


async def database_is_absent(work: Work) -> Observation:
    return await work.provider.observe_absent(work.request)


async def remove_database(work: Work) -> None:
    await work.held.check()
    await work.provider.remove(work.request)


async def client_is_deleted(connection: Connection, client: Client) -> None:
    of_client = {"client_id": client.id}
    row = await (await connection.execute(LIFECYCLE["seen_of_absence"], of_client)).fetchone()
    if row is None or row["observation"] is None:
        raise PostconditionNotMet(f"Nothing was seen of the absence of {client.database_name}.")
    await connection.execute(LIFECYCLE["mark_absent"], of_client | {"seen": row["observation"]})
    await connection.execute(CLIENTS["erase_password_hash"], of_client)
    marked = await connection.execute(LIFECYCLE["mark_deleted"], of_client)
    if await marked.fetchone() is None:
        raise Conflict(f"{client.name} is not to be deleted any more.")
    await record(
        connection,
        actor="worker",
        action="client.deleted",
        client_id=client.id,
        details={
            "database": client.database_name,
            "server": client.server_name,
            "seen": row["observation"],
        },
    )


DELETE_CLIENT = Workflow(
    kind=DELETE,
    title="Delete client",
    failure="client.delete_failed",
    steps=(
        Step("close_database", "Close database", database_is_closed, close_database),
        Step("export", "Export", last_export_is_taken, take_export, is_long=True),
        Step("remove_database", "Remove database", database_is_absent, remove_database),
    ),
    conclude=client_is_deleted,
    reads_blueprint=False,
    ends_as="deleted",
)
