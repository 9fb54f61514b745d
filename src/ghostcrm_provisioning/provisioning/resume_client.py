"""How a client that is suspended comes back.

```
wake database    it runs again, and nobody may enter it
prove isolation  the full attack, before anybody is let in
open database    its own logins get in again, with the passwords that they had
```

A client whose proof fails goes into quarantine instead: it stays closed, and is released once what was found
is mended. A project that Supabase itself has paused comes back in the same way.
"""

from __future__ import annotations

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.lifecycle import LIFECYCLE, RESUME
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.errors import Conflict, IsolationNotProven
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.provisioning.exporting import find_what_was_asked
from ghostcrm_provisioning.provisioning.work import Work
from ghostcrm_provisioning.provisioning.workflow import Step, Workflow


def _is_closed(work: Work) -> bool:
    """Not so a client that is ready, and whose project Supabase itself has paused."""
    return work.client.status == "suspended"


async def database_runs(work: Work) -> Observation:
    seen = await work.provider.observe_running(work.request)
    if not seen.holds or not _is_closed(work):
        return seen
    closed = await work.provider.observe_closed(work.request)
    return Observation(closed.holds, f"{seen.seen}; {closed.seen}")


async def wake_database(work: Work) -> None:
    await work.held.check()
    if not (await work.provider.observe_running(work.request)).holds:
        await work.provider.resume(work.request)
    if _is_closed(work):
        await work.provider.close(work.request)


async def isolation_is_proven(work: Work) -> Observation:
    async with work.held.connection() as control:
        row = await (
            await control.execute(LIFECYCLE["verdict_since_queued"], {"run_id": work.held.run.id})
        ).fetchone()
    if row is None:
        return Observation(False, "it was not attacked since")
    if not row["holds"]:
        return Observation(False, "the latest attack has found something")
    return Observation(True, f"the attack of {row['began_at']:%H:%M:%S} UTC found nothing")


async def prove_isolation(work: Work) -> None:
    change = await find_what_was_asked(work)
    await work.held.check()
    verdict = await work.around.prove(work.client.id, change.requested_by)
    if not verdict.holds:
        raise IsolationNotProven(
            f"{work.client.name} is not proven to be isolated, so it goes into quarantine instead of being "
            f"resumed: {verdict.sentences[0]}",
            next_step=f"See what was found with `ghostcrm clients explain {work.client.id}`, mend it, then "
            f"`ghostcrm clients release {work.client.id}`.",
            exposures=len(verdict.sentences),
        )


async def database_is_open(work: Work) -> Observation:
    return await work.provider.observe(work.request)


async def open_database(work: Work) -> None:
    await work.held.check()
    await work.provider.reopen(work.request)


async def client_is_back(connection: Connection, client: Client) -> None:
    marked = await connection.execute(LIFECYCLE["mark_resumed"], {"client_id": client.id})
    if await marked.fetchone() is None:
        raise Conflict(f"{client.name} is not to be resumed any more.")
    await record(
        connection,
        actor="worker",
        action="client.resumed",
        client_id=client.id,
        details={"database": client.database_name},
    )


RESUME_CLIENT = Workflow(
    kind=RESUME,
    title="Resume client",
    failure="client.resume_failed",
    steps=(
        Step("wake_database", "Wake database", database_runs, wake_database),
        Step(
            "prove_isolation", "Prove isolation", isolation_is_proven, prove_isolation, is_long=True
        ),
        Step("open_database", "Open database", database_is_open, open_database),
    ),
    conclude=client_is_back,
)
