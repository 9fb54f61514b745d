"""Exports of a client's data: as a step of a run, and by themselves.

Before a client is suspended or deleted, an export of it is written and seen, unless that was not asked for.
In a database that nobody may enter any more, our own login is let in for the time of the export.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from ghostcrm_provisioning.client_database.roles import CARETAKER, login_role
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.credentials import Credentials
from ghostcrm_provisioning.clients.lifecycle import (
    LIFECYCLE,
    LifecycleChange,
    find_lifecycle_change,
)
from ghostcrm_provisioning.errors import ExportNotPossible, NotFound
from ghostcrm_provisioning.exports.dump import Source, export_database, place_of_export
from ghostcrm_provisioning.exports.manifest import Export
from ghostcrm_provisioning.exports.recording import look_at_export, record_export
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Provider
from ghostcrm_provisioning.provisioning.work import (
    Work,
    ensure_caretaker,
    ground_of,
    login_of,
    open_secrets,
)


async def find_what_was_asked(work: Work) -> LifecycleChange:
    """What the run is about. Raises NotFound when it does not say."""
    async with work.held.connection() as control:
        change = await find_lifecycle_change(control, work.held.run.id)
    if change is None:
        raise NotFound(f"The run {work.held.run.id} does not say what it was asked for.")
    return change


async def export_is_taken(work: Work) -> Observation:
    """Whether there is an export of this run, whole; or nothing that would have to be exported."""
    change = await find_what_was_asked(work)
    if not change.with_export:
        return Observation(True, "no export was asked for")
    async with work.held.connection() as control:
        row = await (
            await control.execute(LIFECYCLE["export_of_run"], {"run_id": change.run_id})
        ).fetchone()
    if row is not None:
        return await look_at_export(row)
    if work.client.handed_over_at is None:
        return Observation(
            True, "it was never handed over, so there is nothing of the client's in it"
        )
    return Observation(False, "there is no export yet")


async def take_export(work: Work) -> None:
    """Write one, and record it."""
    change = await find_what_was_asked(work)
    async with work.held.connection() as control:
        credentials, _ = await open_secrets(control, work.sealer, work.client)
    await work.held.check()
    export = await export_client(
        work.provider,
        work.client,
        work.request,
        credentials,
        place=place_of_export(work.around.exports, work.client, datetime.now(UTC)),
        binaries=work.around.binaries,
    )
    async with work.held.holding() as control:
        await record_export(
            control,
            export,
            run_id=change.run_id,
            requested_by=change.requested_by,
            reason=change.reason,
        )


async def find_export_of_suspension(work: Work) -> Observation:
    """Whether the export with which the client was suspended is there, whole; it was not resumed since."""
    async with work.held.connection() as control:
        row = await (
            await control.execute(LIFECYCLE["export_of_suspension"], {"client_id": work.client.id})
        ).fetchone()
    if row is None:
        return Observation(False, "there is no export of it")
    return await look_at_export(row)


async def export_client(
    provider: Provider,
    client: Client,
    request: DatabaseRequest,
    credentials: Credentials,
    *,
    place: Path,
    binaries: Path | None,
) -> Export:
    """Write an export of a client's data, its database open or closed.

    Args:
        place: where, without the endings of the files.

    Raises:
        ExportNotPossible: it does not run, or no pg_dump can read it.
        ExportFailed, TransientFailure: it did not come to its end.
    """
    running = await provider.observe_running(request)
    if not running.holds:
        raise ExportNotPossible(
            f"The data of {client.name} cannot be exported: {running.seen}.",
            next_step="Have it run again (`ghostcrm clients resume ID`), then export it; or go on without an "
            "export (`--no-export`).",
        )
    async with _source(provider, request, credentials) as source:
        return await export_database(source, client, place, binaries=binaries)


@asynccontextmanager
async def _source(
    provider: Provider, request: DatabaseRequest, credentials: Credentials
) -> AsyncIterator[Source]:
    if not await provider.offers_login(request, CARETAKER):
        async with provider.administer(request) as connection:
            ground = await ground_of(provider, request, connection)
            url = await provider.administer_url(request)
            yield Source(connection, url, ground, becomes_owner=False)
        return
    is_closed = (await provider.observe_closed(request)).holds
    if is_closed:
        password = credentials.passwords.get(CARETAKER) or secrets.token_urlsafe(24)
        caretaker = login_of(login_role(CARETAKER), password=password)
        await provider.admit(request, caretaker)
    else:
        found = await ensure_caretaker(provider, request, credentials)
        assert found is not None
        caretaker = found
    try:
        async with provider.log_in(request, caretaker) as connection:
            ground = await ground_of(provider, request, connection)
            url = await provider.login_url(request, caretaker)
            yield Source(connection, url, ground, becomes_owner=True)
    finally:
        if is_closed:
            await provider.close(request)
