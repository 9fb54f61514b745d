"""The chart of the time to ready says what was measured, and nothing where nothing was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ghostcrm_provisioning.dashboard.chart import HEIGHT, WIDTH, Point, chart_of

NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)


def points(*values: tuple[float, float] | None) -> list[Point]:
    return [
        Point(NOW + index * HALF_AN_HOUR, value and value[0], value and value[1], 3 if value else 0)
        for index, value in enumerate(values)
    ]


def test_where_nobody_became_ready_the_line_has_a_gap() -> None:
    chart = chart_of(points((40, 80), (50, 90), None, None, (60, 100)), HALF_AN_HOUR)
    assert chart.p50.count("M") == 2
    assert chart.p50.count("L") == 1
    assert f" {HEIGHT}" not in chart.p50  # nothing falls to zero
    assert "1 gap in which nobody became ready" in chart.description
    assert len(chart.bands) == 3


def test_a_lonely_value_is_a_dot() -> None:
    chart = chart_of(points(None, (40, 80), None), HALF_AN_HOUR)
    assert chart.p50.startswith("M500.00")
    assert chart.p50.endswith("h0")


def test_the_scale_begins_at_zero_and_holds_every_value() -> None:
    chart = chart_of(points((40, 80), (50, 437)), HALF_AN_HOUR)
    assert chart.scale[-1] == "0"
    assert chart.scale[0] == "600 ms"
    assert chart.lines[0] == 0
    assert chart.lines[-1] == HEIGHT
    assert chart.bands[-1].x + chart.bands[-1].width == WIDTH


def test_values_far_apart_get_a_scale_of_decades() -> None:
    chart = chart_of(points((40, 80), (50, 70_000)), HALF_AN_HOUR)
    assert chart.is_in_decades
    assert chart.scale == ["1 min 40 s", "10.0 s", "1.0 s", "100 ms", "10 ms"]


def test_values_that_are_all_the_same_or_zero_can_be_drawn() -> None:
    for value in (0.0, 7.0, 10.0):
        chart = chart_of(points((value, value)), HALF_AN_HOUR)
        assert chart.has_values
        assert "nan" not in chart.p50


def test_nothing_measured_is_said_in_words() -> None:
    chart = chart_of(points(None, None), HALF_AN_HOUR)
    assert not chart.has_values
    assert chart.p50 == ""
    assert chart.description == "No client became ready in this time."
    assert chart_of([], HALF_AN_HOUR).bands == []


def test_the_description_has_the_numbers() -> None:
    chart = chart_of(points((40, 80), (50, 437), (60, 90)), HALF_AN_HOUR)
    assert "9 clients became ready" in chart.description
    assert "half within 60 ms, 95 of 100 within 90 ms" in chart.description
    assert "Slowest: 95 of 100 within 437 ms, at 2026-11-29 10:30 UTC" in chart.description
