"""Where the bars of a waterfall stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ghostcrm_provisioning.clients.run import Run, RunStep
from ghostcrm_provisioning.dashboard.waterfall import WIDTH, Waterfall, draw

_BEGAN = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
_TITLES = {"first": "First", "second": "Second"}


def _at(seconds: float) -> datetime:
    return _BEGAN + timedelta(seconds=seconds)


def _run(status: str = "succeeded", *, finished: float | None = None) -> Run:
    return Run(
        id=uuid4(), client_id=uuid4(), kind="provision_client", status=status, priority=0, fence=1,
        worker_id=None, worker_deaths=0, next_attempt_at=None, error=None, created_at=_BEGAN,
        queued_at=_BEGAN, started_at=_BEGAN, finished_at=None if finished is None else _at(finished),
    )  # fmt: skip


def _step(
    position: int, status: str, start: float | None = None, end: float | None = None
) -> RunStep:
    name = ("first", "second")[position - 1]
    moments = (None if start is None else _at(start), None if end is None else _at(end))
    return RunStep(position, name, status, 1, *moments, None, None)


def _attempt(
    name: str, start: float, end: float | None, outcome: str = "done", number: int = 1
) -> dict[str, Any]:
    return {
        "name": name,
        "attempt": number,
        "outcome": outcome,
        "started_at": _at(start),
        "finished_at": None if end is None else _at(end),
        "error": None,
        "worker_id": uuid4(),
    }


def _draw(
    run: Run, steps: list[RunStep], attempts: list[dict[str, Any]], now: float = 0.0
) -> Waterfall:
    return draw(run, steps, attempts, titles=_TITLES, now=_at(now))


def test_steps_follow_one_another_on_the_whole_axis() -> None:
    drawn = _draw(
        _run(finished=1.0),
        [_step(1, "done", 0.0, 0.25), _step(2, "done", 0.25, 1.0)],
        [_attempt("first", 0.0, 0.25), _attempt("second", 0.25, 1.0)],
    )
    first, second = drawn.bars
    assert [(s.kind, s.x, s.width) for s in first.segments] == [("done", 0.0, 250.0)]
    assert [(s.kind, s.x, s.width) for s in second.segments] == [("done", 250.0, 750.0)]
    assert drawn.seconds == 1.0
    assert drawn.gaps == ()
    assert drawn.kinds == ("done",), "the legend explains what is drawn, and nothing else"


def test_a_wait_between_two_attempts_is_a_segment_of_its_own() -> None:
    drawn = _draw(
        _run(finished=1.0),
        [_step(1, "done", 0.0, 1.0)],
        [_attempt("first", 0.0, 0.4, "failed"), _attempt("first", 0.6, 1.0, number=2)],
    )
    assert [s.kind for s in drawn.bars[0].segments] == ["failed", "waiting", "done"]
    assert [s.width for s in drawn.bars[0].segments] == [400.0, 200.0, 400.0]


def test_what_is_running_is_open_to_the_right_edge() -> None:
    drawn = _draw(
        _run("running"),
        [_step(1, "running", 1.0), _step(2, "pending")],
        [_attempt("first", 1.0, None, "running")],
        now=4.0,
    )
    queued, segment = drawn.bars[0].segments
    assert (queued.kind, queued.x, queued.width) == ("waiting", 0.0, segment.x)
    assert segment.is_open
    assert segment.x + segment.width == WIDTH
    assert drawn.bars[1].segments == ()
    assert drawn.seconds is None
    assert drawn.waited_seconds == 1.0


def test_a_wait_for_the_next_attempt_goes_on_until_now() -> None:
    drawn = _draw(
        _run("waiting"),
        [_step(1, "waiting", 0.0)],
        [_attempt("first", 0.0, 2.0, "failed")],
        now=3.0,
    )
    assert [(s.kind, s.is_open) for s in drawn.bars[0].segments] == [
        ("failed", False),
        ("waiting", True),
    ]
    assert drawn.bars[0].is_open, "the details of what does not get on are shown without a click"


def test_hours_without_work_are_collapsed_and_labelled() -> None:
    drawn = _draw(
        _run(finished=7201.0),
        [_step(1, "done", 7200.0, 7201.0)],
        [_attempt("first", 0.0, 1.0, "failed"), _attempt("first", 7200.0, 7201.0)],
    )
    (gap,) = drawn.gaps
    assert gap.seconds == 7199.0
    assert gap.width < WIDTH / 10
    failed, waiting, done = drawn.bars[0].segments
    assert failed.width == done.width > WIDTH / 3
    assert waiting.width == gap.width
    assert drawn.ticks == (), "marks beyond a collapsed stretch would be misread"


def test_an_attempt_that_nobody_ended_is_closed_when_the_run_has_ended() -> None:
    drawn = _draw(
        _run("failed", finished=5.0),
        [_step(1, "failed", 0.0, 5.0)],
        [_attempt("first", 0.0, None, "running")],
    )
    assert not drawn.bars[0].segments[0].is_open


def test_a_run_that_nobody_has_taken_up_waits_at_its_first_step() -> None:
    drawn = _draw(_run("queued"), [_step(1, "pending"), _step(2, "pending")], [], now=10.0)
    (wait,) = drawn.bars[0].segments
    assert (wait.kind, wait.x, wait.width, wait.is_open) == ("waiting", 0.0, WIDTH, True)
    assert drawn.bars[1].segments == ()
    assert drawn.waited_seconds is None


def test_a_step_of_a_workflow_that_is_not_known_any_more_is_called_by_its_name() -> None:
    unknown = RunStep(1, "turn_the_key", "pending", 0, None, None, None, None)
    drawn = draw(_run("queued"), [unknown], [], titles={}, now=_at(0))
    assert drawn.bars[0].title == "Turn the key"


def test_marks_are_round_and_few() -> None:
    drawn = _draw(
        _run(finished=0.037), [_step(1, "done", 0.0, 0.037)], [_attempt("first", 0.0, 0.037)]
    )
    assert [round(tick.seconds, 3) for tick in drawn.ticks] == [0.01, 0.02, 0.03]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["first", "second"]),
            st.floats(-5, 1e6),
            st.one_of(st.none(), st.floats(0, 1e5)),
            st.sampled_from(["done", "failed", "told_to_wait", "abandoned", "running"]),
        ),
        max_size=12,
    ),
    st.floats(0, 1e6),
    st.sampled_from(["queued", "running", "waiting"]),
)
def test_whatever_the_clocks_say_nothing_is_drawn_outside_of_the_axis(
    made: list[tuple[str, float, float | None, str]], now: float, status: str
) -> None:
    attempts = [
        _attempt(name, start, None if length is None else start + length, outcome)
        for name, start, length, outcome in made
    ]
    drawn = _draw(_run(status), [_step(1, "waiting", 0.0), _step(2, "running", 0.0)], attempts, now)
    for bar in drawn.bars:
        for segment in bar.segments:
            assert 0 <= segment.x <= WIDTH
            assert segment.width > 0
            assert segment.x + segment.width <= WIDTH + 0.2
    assert sum(gap.width for gap in drawn.gaps) <= WIDTH / 2 + 1
