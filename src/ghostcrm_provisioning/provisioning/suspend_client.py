"""How a client is suspended: nobody gets in until it is resumed, and everything stays.

```
export          a dump of the client's data is written and seen
close database  nobody may enter it any more, and nobody is in it: the client is suspended
pause database  where that is possible, it does not even run, and costs nothing
```

From the moment at which it was asked for, nobody is given a connection any more. Each step looks whether it
is already so, makes it so, and looks again, as those of
:mod:`~ghostcrm_provisioning.provisioning.provision_client` do.
"""

from __future__ import annotations

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.lifecycle import LIFECYCLE, SUSPEND
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.exporting import export_is_taken, take_export
from ghostcrm_provisioning.provisioning.work import Work
from ghostcrm_provisioning.provisioning.workflow import Step, Workflow


async def export_is_taken_or_it_is_paused(work: Work) -> Observation:
    """Supabase itself pauses projects that nobody uses: what is in them stays, and cannot be read."""
    seen = await export_is_taken(work)
    if not seen.holds and not (await work.provider.observe_running(work.request)).holds:
        paused = await work.provider.observe_suspended(work.request)
        if paused.holds:
            return Observation(True, f"{paused.seen}: what is in it stays, and cannot be read now")
    return seen


async def database_is_closed(work: Work) -> Observation:
    """The client is suspended as soon as this holds."""
    seen = await work.provider.observe_suspended(work.request)
    if not seen.holds:
        seen = await work.provider.observe_closed(work.request)
    if seen.holds:
        async with work.held.holding() as control:
            await control.execute(LIFECYCLE["mark_suspended"], {"client_id": work.client.id})
    return seen


async def close_database(work: Work) -> None:
    await work.held.check()
    await work.provider.close(work.request)


async def database_is_paused(work: Work) -> Observation:
    return await work.provider.observe_suspended(work.request)


async def pause_database(work: Work) -> None:
    await work.held.check()
    await work.provider.suspend(work.request)


async def client_is_suspended(connection: Connection, client: Client) -> None:
    await record(
        connection,
        actor="worker",
        action="client.suspended",
        client_id=client.id,
        details={"database": client.database_name},
    )


SUSPEND_CLIENT = Workflow(
    kind=SUSPEND,
    title="Suspend client",
    failure="client.suspend_failed",
    steps=(
        Step("export", "Export", export_is_taken_or_it_is_paused, take_export, is_long=True),
        Step("close_database", "Close database", database_is_closed, close_database),
        Step("pause_database", "Pause database", database_is_paused, pause_database),
    ),
    conclude=client_is_suspended,
    reads_blueprint=False,
    ends_as="suspended",
)
