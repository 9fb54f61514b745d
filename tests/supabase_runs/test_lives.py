"""Whatever happens at whatever call of what is done to a client afterwards: it ends as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from psycopg import AsyncConnection

from ghostcrm_provisioning.connecting import connect_to
from tests.supabase_runs.clients import (
    Provisioned,
    World,
    judge_client,
    live_in_processes,
    lower_largest_file,
    provisioned,
    statuses,
)
from tests.supabase_runs.door import KILLED, REPLY_LOST, Call, Fault
from tests.supabase_runs.lives import carry_out

pytestmark = pytest.mark.long

# Each takes back what the one before did.
_PAIRS = (("professional", "starter"), ("close", "reopen"), ("suspend", "resume"))
# One of them goes wrong when a life ends.
_REMOVING = (
    Call("remove", "GET", "/v1/projects/*"),
    Call("remove", "DELETE", "/v1/projects/*"),
    Call("remove", "GET", "/v1/organizations/*/projects"),
)


async def _do(seen: Provisioned, kind: str, operation: str, *faults: Fault) -> list[Call]:
    """The operation, which meets those faults; what was asked for. One who may be killed has a process of his
    own."""
    seen.door.doing = operation
    seen.door.begin(faults)
    async with asyncio.timeout(300):
        if kind == KILLED:
            assert await live_in_processes(seen, operation) == len(faults)
        else:
            await carry_out(seen.installation, seen.registered.client_id, operation)
    for fault in faults:
        assert fault.met, f"never met: {fault}"
    return list(dict.fromkeys(seen.door.calls))


async def _judge(world: World, seen: Provisioned, operation: str, about: str, url: str) -> None:
    match operation:
        case "starter" | "reopen" | "resume":
            await judge_client(world, seen, about)
        case "close":
            assert await statuses(world, seen) == ["ACTIVE_HEALTHY"], about
            with pytest.raises(psycopg.OperationalError):
                await AsyncConnection.connect(url)
        case "suspend":
            assert await statuses(world, seen) == ["INACTIVE"], about


async def _live(world: World, kind: str, pair: tuple[str, str], number: int) -> list[Fault]:
    """What was met: each call of both operations in turn; at last the client is removed."""
    met: list[Fault] = []
    async with provisioned(world) as seen:
        connection = await connect_to(
            seen.installation, seen.registered.client_id, role="app", requested_by="test"
        )
        url = connection.database_url
        calls = {operation: await _do(seen, kind, operation) for operation in pair}
        await judge_client(world, seen, "nothing went wrong yet")
        for turn in range(max(map(len, calls.values()))):
            for operation in pair:
                if operation == "professional":
                    await lower_largest_file(world, seen)
                faults = [Fault(kind, call) for call in calls[operation][turn : turn + 1]]
                await _do(seen, kind, operation, *faults)
                about = f"{operation}: {[str(each) for each in faults]}"
                await _judge(world, seen, operation, about, url)
                met += faults
        fault = Fault(kind, _REMOVING[number])
        asked = await _do(seen, kind, "remove", fault)
        assert set(asked) == set(_REMOVING)
        assert await statuses(world, seen) == []
    return [*met, fault]


@pytest.mark.timeout(2400)
async def test_at_every_call(world: World, record_property: Callable[[str, object], None]) -> None:
    lives = [
        (kind, pair, number) for kind in (REPLY_LOST, KILLED) for number, pair in enumerate(_PAIRS)
    ]
    outcomes = await asyncio.gather(
        *(_live(world, *life) for life in lives), return_exceptions=True
    )
    failures = [
        f"{life}: {type(each).__name__}: {each}"
        for life, each in zip(lives, outcomes, strict=True)
        if isinstance(each, BaseException)
    ]
    assert not failures, "\n\n".join(failures)
    for kind in (REPLY_LOST, KILLED):
        met = [
            fault
            for (of_kind, _, _), faults in zip(lives, outcomes, strict=True)
            if of_kind == kind and not isinstance(faults, BaseException)
            for fault in faults
        ]
        operations = {fault.call.step for fault in met}
        record_property(
            "summary",
            f"Supabase, a client's life, {kind}: at {len(met)} calls of {len(operations)} operations "
            f"({', '.join(sorted(operations))}), done each time",
        )
