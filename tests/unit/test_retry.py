"""When a step is tried again, and how long is waited before."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostcrm_provisioning.errors import (
    DatabaseBusy,
    GhostcrmError,
    MigrationFailed,
    PermanentFailure,
    ServerUnreachable,
    ToldToWait,
    TransientFailure,
    UnexpectedFailure,
)
from ghostcrm_provisioning.provisioning.retry import Decision, RetryPolicy

SECONDS = st.floats(0.001, 10_000)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 20),
    first_wait=SECONDS,
    longest_wait=SECONDS,
    longest_told_to_wait=SECONDS,
)


def families(error: type[GhostcrmError]) -> list[type[GhostcrmError]]:
    return [error, *(found for child in error.__subclasses__() for found in families(child))]


TRANSIENT = families(TransientFailure)
PERMANENT = [error for error in families(GhostcrmError) if not error.retryable]


@given(policy=POLICIES, attempt=st.integers(1, 10_000))
def test_a_wait_is_half_to_whole_of_the_doubled_first_wait_and_never_the_longest(
    policy: RetryPolicy, attempt: int
) -> None:
    whole = min(policy.longest_wait, policy.first_wait * 2.0 ** min(attempt - 1, 30))
    wait = policy.wait_after(attempt)
    assert whole / 2 <= wait <= whole
    assert 0 < wait <= policy.longest_wait
    assert math.isfinite(wait)


def test_waits_differ_so_that_clients_do_not_come_back_together() -> None:
    policy = RetryPolicy()
    assert len({policy.wait_after(1) for _ in range(50)}) > 40


def test_the_default_is_three_attempts() -> None:
    policy = RetryPolicy()
    assert policy.max_attempts == 3
    first = policy.decide(DatabaseBusy(), attempt=1, waited=0)
    second = policy.decide(DatabaseBusy(), attempt=2, waited=10)
    third = policy.decide(DatabaseBusy(), attempt=3, waited=20)
    assert first.wait_seconds is not None
    assert 1.0 <= first.wait_seconds <= 2.0
    assert second.wait_seconds is not None
    assert 2.0 <= second.wait_seconds <= 4.0
    assert (first.next_attempt, second.next_attempt) == (2, 3)
    assert third == Decision(None, 3, "failed")


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: error.__name__)
@given(policy=POLICIES)
def test_a_transient_failure_is_tried_until_the_attempts_are_used_up(
    error: type[GhostcrmError], policy: RetryPolicy
) -> None:
    attempt = 1
    while (
        decision := policy.decide(error(), attempt=attempt, waited=1e9)
    ).wait_seconds is not None:
        assert decision.next_attempt == attempt + 1
        assert decision.outcome == "failed"
        attempt = decision.next_attempt
    assert attempt == policy.max_attempts
    assert decision == Decision(None, attempt, "failed")


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: error.__name__)
def test_a_permanent_failure_ends_at_once(error: type[GhostcrmError]) -> None:
    policy = RetryPolicy(max_attempts=20)
    assert policy.decide(error(), attempt=1, waited=0) == Decision(None, 1, "failed")


@given(
    policy=POLICIES,
    attempt=st.integers(1, 50),
    waited=st.floats(0, 20_000),
    wait=st.floats(0, 5_000),
)
def test_being_told_to_wait_never_counts_and_ends_after_its_deadline(
    policy: RetryPolicy, attempt: int, waited: float, wait: float
) -> None:
    decision = policy.decide(ToldToWait("429", wait_seconds=wait), attempt=attempt, waited=waited)
    assert decision.next_attempt == attempt
    if waited > policy.longest_told_to_wait:
        assert decision == Decision(None, attempt, "failed")
    else:
        assert decision == Decision(max(wait, 0.1), attempt, "told_to_wait")


def test_one_who_is_always_told_to_wait_is_let_go_in_the_end() -> None:
    policy, waited, rounds = RetryPolicy(max_attempts=1), 0.0, 0
    error = ToldToWait("coming up", wait_seconds=0)
    while (wait := policy.decide(error, attempt=1, waited=waited).wait_seconds) is not None:
        waited += wait
        rounds += 1
    assert 1 < rounds <= 9001
    assert waited > policy.longest_told_to_wait


def test_who_says_how_long_it_may_take_is_given_that_time() -> None:
    policy = RetryPolicy(longest_told_to_wait=10.0)
    told = ToldToWait("a project is coming up", wait_seconds=1.0, patience_seconds=60.0)
    assert policy.decide(told, attempt=1, waited=59.0).wait_seconds == 1.0
    assert policy.decide(told, attempt=1, waited=61.0).wait_seconds is None
    short = ToldToWait("a moment", wait_seconds=1.0, patience_seconds=5.0)
    assert policy.decide(short, attempt=1, waited=9.0).wait_seconds == 1.0


def test_what_may_pass_and_what_will_not_are_told_apart_by_type() -> None:
    assert all(error.retryable for error in (ServerUnreachable, UnexpectedFailure, ToldToWait))
    assert not any(error.retryable for error in (PermanentFailure, MigrationFailed))
