"""One budget for all workers: what is allowed in a minute is spent once, by however many processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

import pytest

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import ToldToWait
from ghostcrm_provisioning.providers.supabase.rate_budget import RateBudget
from tests.forked import FORKED
from tests.supabase_projects.workers import spend_budget

_PATIENCE_SECONDS = 150.0


@pytest.fixture
async def control(control_url: str) -> AsyncIterator[ControlDatabase]:
    async with ControlDatabase(control_url, largest_pool=4) as control:
        yield control


def _budget(control: ControlDatabase, *, token: str = "t", allowed: int = 3) -> RateBudget:
    return RateBudget(control, api_url="https://x", access_token=token, allowed=allowed)


async def _left(budget: RateBudget, endpoint: str = "GET /a", counted_for: str = "x") -> int:
    """By spending it."""
    for spent in range(1000):
        try:
            await budget.take(endpoint, counted_for)
        except ToldToWait:
            return spent
    raise AssertionError("there is no end")


def test_several_processes_spend_it_once(control_url: str) -> None:
    pipes = [FORKED.Pipe() for _ in range(3)]
    processes = [
        FORKED.Process(target=spend_budget, args=(control_url, 60, 40, theirs))
        for _, theirs in pipes
    ]
    for process, (_, theirs) in zip(processes, pipes, strict=True):
        process.start()
        theirs.close()
    ours = [each for each, _ in pipes]
    assert [_said(each) for each in ours] == ["ready"] * 3
    for each in ours:
        each.send("go")
    assert sum(_said(each) for each in ours) == 60
    for process, each in zip(processes, ours, strict=True):
        process.join(_PATIENCE_SECONDS)
        assert process.exitcode == 0
        process.close()
        each.close()


def _said(process: Connection) -> Any:
    assert process.poll(_PATIENCE_SECONDS), "nothing is said"
    return process.recv()


async def test_each_endpoint_project_and_account_has_its_own(control: ControlDatabase) -> None:
    budget = _budget(control)
    assert await _left(budget) == 3
    assert await _left(budget, "GET /b") == 3
    assert await _left(budget, counted_for="y") == 3
    assert await _left(_budget(control, token="another")) == 3
    assert await _left(_budget(control)) == 0


async def test_what_the_answers_say_corrects_it(control: ControlDatabase) -> None:
    budget = _budget(control)
    await budget.take("GET /a", "x")
    headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "2", "x-ratelimit-reset": "60"}
    assert await budget.hear("GET /a", "x", headers, refused=False) == 0
    assert await _left(budget) == 2  # somebody else has spent eight
    # An answer that was on its way gives nothing back: its minute ends no later than ours …
    on_its_way = {**headers, "x-ratelimit-remaining": "9", "x-ratelimit-reset": "30"}
    await budget.hear("GET /a", "x", on_its_way, refused=False)
    assert await _left(budget) == 0
    # … a new minute does.
    late = {**headers, "x-ratelimit-remaining": "9", "x-ratelimit-reset": "90"}
    await budget.hear("GET /a", "x", late, refused=False)
    assert await _left(budget) == 9


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "17"}, 17),
        ({"retry-after": "23", "x-ratelimit-reset": "17"}, 23),
        ({"retry-after": "3", "x-ratelimit-reset": "17"}, 17),
        ({}, 60),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60),
        ({"retry-after": "-5", "x-ratelimit-reset": "many"}, 60),
        ({"retry-after": "999999999999999"}, 60),
        ({"retry-after": "99999999"}, 3600),
    ],
)
async def test_who_is_told_to_wait_makes_all_wait(
    headers: dict[str, str], seconds: float, control: ControlDatabase
) -> None:
    budget = _budget(control)
    await budget.take("GET /a", "x")
    began = perf_counter()
    assert await budget.hear("GET /a", "x", headers, refused=True) == seconds
    with pytest.raises(ToldToWait) as told:
        await _budget(control).take("GET /a", "x")
    meanwhile = perf_counter() - began
    assert seconds - meanwhile < told.value.wait_seconds < seconds + 1.1


async def test_headers_without_sense_change_nothing(control: ControlDatabase) -> None:
    budget = _budget(control)
    for headers in (
        {},
        {"x-ratelimit-limit": "0", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"},
        {"x-ratelimit-limit": "5", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "60"},
        {"x-ratelimit-limit": "a", "x-ratelimit-remaining": "b", "x-ratelimit-reset": "c"},
    ):
        await budget.hear("GET /a", "x", headers, refused=False)
    assert await _left(budget) == 3


async def test_a_minute_later_it_is_there_again(control: ControlDatabase) -> None:
    budget = _budget(control)
    assert await _left(budget) == 3
    await control.execute(
        "update supabase_rate_budget set resets_at = resets_at - interval '1 minute'"
    )
    assert await _left(budget) == 3
