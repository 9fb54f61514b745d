"""What is done to a client after it is ready: another plan, being closed and opened, pause and return, removal.

Done as the workers do: told to wait, it comes back; after a failure that may pass, twice more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from uuid import UUID

from ghostcrm_provisioning.client_database.blueprint import read_blueprint
from ghostcrm_provisioning.clients.client import find_client
from ghostcrm_provisioning.errors import ToldToWait, TransientFailure
from ghostcrm_provisioning.fleet.changing_plan import change_plan
from ghostcrm_provisioning.following import follow
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import DatabaseRequest, Provider
from ghostcrm_provisioning.provisioning.work import open_secrets, request_of
from ghostcrm_provisioning.settings import read_settings
from ghostcrm_provisioning.wiring import Installation, open_installation

# Each takes back what the one before did; the last one is the end.
OPERATIONS = ("professional", "starter", "close", "reopen", "suspend", "resume", "remove")
_ATTEMPTS = 3
_LONGEST_WAIT_SECONDS = 0.3


async def carry_out(installation: Installation, client_id: UUID, operation: str) -> None:
    """The operation, until it is observed to be done."""
    if operation in {"professional", "starter"}:
        accepted = await change_plan(installation, client_id, operation, requested_by="test")
        assert accepted.run_id is not None  # it is another plan
        run = await follow(installation, accepted.run_id)
        assert run.status == "succeeded", run.error
        return
    async with installation.control.connection() as connection:
        client = await find_client(connection, client_id)
        credentials, _ = await open_secrets(connection, installation.sealer, client)
    blueprint = read_blueprint(client.blueprint)
    request = request_of(
        client,
        credentials,
        installation_id=installation.id,
        blueprint=blueprint,
        plan=blueprint.plan(client.plan),
    )
    provider = await installation.providers.of_server(client.server_id)
    await _until_done(lambda: _once(provider, request, operation))


async def _once(provider: Provider, request: DatabaseRequest, operation: str) -> None:
    match operation:
        case "close":
            await provider.close(request)
            _must_hold(await provider.observe_closed(request))
        case "reopen":
            await provider.reopen(request)
            _must_hold(await provider.observe(request))
        case "suspend":
            await provider.suspend(request)
            _must_hold(await provider.observe_suspended(request))
        case "resume":
            await provider.resume(request)
            _must_hold(await provider.observe(request))
        case "remove":
            await provider.remove(request)
            _must_hold(await provider.observe_absent(request))
        case _:
            raise AssertionError(operation)


def _must_hold(seen: Observation) -> None:
    assert seen.holds, seen.seen


async def _until_done(work: Callable[[], Awaitable[None]]) -> None:
    attempt = 1
    while True:
        try:
            return await work()
        except ToldToWait as told:
            await asyncio.sleep(min(told.wait_seconds, _LONGEST_WAIT_SECONDS))
        except TransientFailure:
            if attempt == _ATTEMPTS:
                raise
            attempt += 1


def in_a_process(environment: dict[str, str], client_id: UUID, operation: str) -> None:
    """What a process of its own does."""

    async def carry_out_() -> None:
        async with open_installation(read_settings()) as installation:
            await carry_out(installation, client_id, operation)

    os.environ.update(environment)
    asyncio.run(carry_out_())
