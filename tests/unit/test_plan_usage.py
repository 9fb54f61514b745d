"""What fits into a plan: the preview's arithmetic, and how it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostcrm_provisioning.cli.change_plan import _amount
from ghostcrm_provisioning.client_database.blueprint import Plan, read_blueprint
from ghostcrm_provisioning.client_database.plan_settings import refuse_what_does_not_fit
from ghostcrm_provisioning.client_database.plan_usage import Usage
from ghostcrm_provisioning.errors import PlanDoesNotFit
from ghostcrm_provisioning.fleet.changing_plan import _allows_less

LIMITS = st.none() | st.integers(min_value=0, max_value=10**15)
AMOUNTS = st.integers(min_value=0, max_value=10**15)
USAGES = st.builds(Usage, st.just("contacts"), AMOUNTS, LIMITS, LIMITS)
ALL = float("inf")


@given(USAGES)
def test_only_what_is_over_a_limit_that_becomes_lower_is_in_the_way(usage: Usage) -> None:
    now = ALL if usage.allowed_now is None else usage.allowed_now
    then = ALL if usage.allowed_then is None else usage.allowed_then
    assert usage.is_in_the_way == (usage.used > then and then < now)


@given(USAGES)
def test_without_what_it_is_over_by_it_fits_exactly(usage: Usage) -> None:
    rest = usage.used - usage.over_by
    assert Usage("contacts", rest, usage.allowed_now, usage.allowed_then).over_by == 0
    if usage.over_by:
        assert rest == usage.allowed_then


def test_a_refusal_says_what_is_over_and_by_how_much() -> None:
    usages = (
        Usage("users", 5, 25, 5),
        Usage("contacts", 1250, 10_000, 1000),
        Usage("workflows", 2, None, 0),
        Usage("storage_bytes", 9, 5, 7),
    )
    with pytest.raises(PlanDoesNotFit) as refused:
        refuse_what_does_not_fit(usages, "starter")
    assert refused.value.details == {"contacts": 250, "workflows": 2}
    assert "contacts by 250 (1250 of 1000), workflows by 2 (2 of 0)" in refused.value.message
    assert "--allow-over-limit" in refused.value.next_step
    assert (refused.value.exit_code, refused.value.retryable) == (5, False)


def test_what_fits_is_not_refused() -> None:
    refuse_what_does_not_fit((Usage("users", 5, 25, 5), Usage("contacts", 7, 5, 6)), "starter")
    refuse_what_does_not_fit((), "starter")


def test_a_resource_of_any_name_can_be_refused() -> None:
    """The names come from the client's schema."""
    with pytest.raises(PlanDoesNotFit) as refused:
        refuse_what_does_not_fit((Usage("message", 2, 2, 1), Usage("next_step", 2, 2, 1)), "small")
    assert refused.value.details == {"message": 1, "next_step": 1}


PLAN = Plan(title="A plan", max_users=5, max_contacts=10, features=("a", "b"), connection_limit=20)


@pytest.mark.parametrize(
    ("change", "less"),
    [
        ({}, False),
        ({"max_users": 6, "max_contacts": None, "features": ("a", "b", "c")}, False),
        ({"max_users": 4}, True),
        ({"max_storage_bytes": 1}, True),
        ({"features": ("a", "c", "d")}, True),
        ({"connection_limit": 19}, True),
        ({"title": "Another", "priority": -1}, False),
    ],
)
def test_a_plan_that_allows_less_of_anything_is_looked_at_first(
    change: dict[str, object], less: bool
) -> None:
    assert _allows_less(PLAN, PLAN.model_copy(update=change)) is less


def test_a_plan_that_is_no_longer_declared_may_have_allowed_everything() -> None:
    assert _allows_less(None, PLAN)


def test_the_shipped_plans_allow_more_from_one_to_the_next_but_for_features() -> None:
    plans = read_blueprint("ghostcrm").plans
    without = {name: plan.model_copy(update={"features": ()}) for name, plan in plans.items()}
    assert not _allows_less(without["starter"], without["professional"])
    assert not _allows_less(without["professional"], without["enterprise"])
    assert _allows_less(without["enterprise"], without["professional"])


@pytest.mark.parametrize(
    ("resource", "amount", "shown"),
    [
        ("contacts", 1_234_567, "1,234,567"),
        ("storage_bytes", 0, "0 bytes"),
        ("storage_bytes", 1023, "1,023 bytes"),
        ("storage_bytes", 1_073_741_824, "1.0 GB"),
        ("storage_bytes", 5 * 2**50, "5,120.0 TB"),
    ],
)
def test_amounts_are_shown_as_people_say_them(resource: str, amount: int, shown: str) -> None:
    assert _amount(resource, amount) == shown
