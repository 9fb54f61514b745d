"""Whatever happens at whatever call of a provisioning: the client ends ready, with exactly one project.

Tried with the whole workflow, real workers, and a platform that runs; what is asked for is in :mod:`.calls`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from ghostcrm_provisioning.settings import Settings
from tests.supabase_runs.calls import CALLS, run_after_deaths, runs_with
from tests.supabase_runs.clients import World, judge_run, provisioned
from tests.supabase_runs.door import (
    ERROR_AFTER,
    ERROR_BEFORE,
    KILLED,
    KILLED_LATE,
    KILLING,
    REFUSED,
    REPLY_LOST,
    SILENCE,
    SILENCE_LATE,
    TOO_MANY,
    Call,
    Fault,
)

pytestmark = pytest.mark.long

Record = Callable[[str, object], None]

_DEFAULT_SECONDS = Settings.model_fields["supabase_request_seconds"].default
_SHORT = {"supabase_request_seconds": 4}
_SHORT_LEASE = {"lease_seconds": 2}


async def _undisturbed(world: World) -> Counter[Call]:
    async with provisioned(world) as seen:
        counts = seen.door.counts  # before there are those of who looks what came of it
        await judge_run(world, seen)
        return counts


@dataclass(frozen=True)
class _Run:
    """The run of one client. ``when`` is said where its faults are counted."""

    faults: Sequence[Fault]
    settings: Mapping[str, object] = field(default_factory=dict)
    when: str = ""


async def _meet(world: World, run: _Run) -> None:
    in_processes = any(each.kind in KILLING for each in run.faults)
    async with provisioned(
        world, *run.faults, settings=run.settings, in_processes=in_processes
    ) as seen:
        await judge_run(world, seen)


async def _meet_all(world: World, runs: Sequence[_Run], record: Record) -> None:
    """Beside each other."""
    outcomes = await asyncio.gather(*(_meet(world, run) for run in runs), return_exceptions=True)
    failures = [each for each in outcomes if each is not None]
    assert not failures, "\n\n".join(f"{type(each).__name__}: {each}" for each in failures)
    tried: dict[str, list[Call]] = {}
    for run in runs:
        for fault in run.faults:
            tried.setdefault(run.when or fault.kind, []).append(fault.call)
    for what, calls in tried.items():
        record(
            "summary",
            f"Supabase, whole run, {what}: at {len(calls)} calls ({len(set(calls))} different ones); each "
            "client ready with one project, one admin, one bucket, one key of each kind",
        )


async def test_every_call_is_among_those_that_are_tried(world: World) -> None:
    assert set(await _undisturbed(world)) == set(CALLS)


@pytest.mark.timeout(2400)
async def test_replies_are_lost_and_requests_are_too_many(
    world: World, record_property: Record
) -> None:
    later = await _undisturbed(world)
    runs = [*runs_with([REPLY_LOST], later), *runs_with([TOO_MANY])]
    await _meet_all(world, [_Run(faults) for faults in runs], record_property)


@pytest.mark.timeout(2400)
async def test_connections_are_refused_and_the_platform_fails(
    world: World, record_property: Record
) -> None:
    runs = runs_with([REFUSED, ERROR_BEFORE, ERROR_AFTER])
    await _meet_all(world, [_Run(faults) for faults in runs], record_property)


@pytest.mark.timeout(2400)
async def test_nothing_is_heard_and_workers_are_killed(
    world: World, record_property: Record
) -> None:
    await _meet_all(
        world,
        [
            _Run(
                [Fault(SILENCE, Call("acquire_database", "POST", "/v1/projects"))],
                {"supabase_request_seconds": _DEFAULT_SECONDS},
                f"silence for {_DEFAULT_SECONDS:g} s",  # not scaled down
            ),
            *(_Run(each, _SHORT) for each in runs_with([SILENCE, SILENCE_LATE], most=3)),
            *(_Run(each, _SHORT_LEASE) for each in runs_with([KILLED, KILLED_LATE])),
            _Run(
                run_after_deaths(
                    [REPLY_LOST, TOO_MANY, ERROR_BEFORE, ERROR_AFTER, SILENCE, KILLED]
                ),
                _SHORT | _SHORT_LEASE,
                "every fault where a worker was killed before",
            ),
        ],
        record_property,
    )
