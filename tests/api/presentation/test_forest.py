"""Where the lines of a forest plot lie."""
# ruff: noqa: RUF001 - the texts under test carry a true minus and a multiplication sign

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tracecanary.api.presentation.forest import axis_unit, mark_of, scale_of, ticks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracecanary.analytics.answer import MetricRow


def test_no_difference_and_margin_are_always_inside(make_row: Callable[..., MetricRow]) -> None:
    row = make_row("error_rate", (0.5, 0.3), -0.2, (-0.25, -0.15), "better")

    scale = scale_of([row])

    assert scale is not None
    assert 0 < scale.position(-0.25) < scale.position(0.0) < scale.position(0.01) < 100


def test_ratio_axis_is_logarithmic(make_row: Callable[..., MetricRow]) -> None:
    scale = scale_of([make_row("latency_p50", (1.0, 1.0), 1.0, (0.5, 2.0), "unsure")])

    assert scale is not None
    assert scale.position(1.0) == 50.0


@pytest.mark.parametrize(
    ("interval", "low_open", "high_open"),
    [((0.8, None), False, True), ((None, 1.2), True, False), ((0.8, 1.2), False, False)],
)
def test_unbounded_side_reaches_the_edge(
    make_row: Callable[..., MetricRow], interval: tuple[float | None, float | None], low_open: bool, high_open: bool
) -> None:
    row = make_row("latency_p99", (1.0, 1.0), 1.0, interval)
    scale = scale_of([row])
    assert scale is not None

    mark = mark_of(row, scale)

    assert mark is not None
    assert (mark.is_low_open, mark.is_high_open) == (low_open, high_open)
    assert (mark.low == 0.0, mark.high == 100.0) == (low_open, high_open)


def test_row_without_effect_has_no_mark_beside_one_that_has(make_row: Callable[..., MetricRow]) -> None:
    measured = make_row("error_rate", (0.1, 0.1), 0.0, (-0.1, 0.1), "unsure")
    missing = make_row("error_rate", (0.1, None))
    scale = scale_of([measured, missing])
    assert scale is not None

    assert mark_of(missing, scale) is None


def test_metric_that_nobody_measured_has_no_axis(make_row: Callable[..., MetricRow]) -> None:
    assert scale_of([make_row("error_rate", (None, None))]) is None


def test_ticks_are_round_and_share_the_notation_of_the_rows(make_row: Callable[..., MetricRow]) -> None:
    rates = [make_row("error_rate", (0.5, 0.3), -0.2, (-0.42, 0.197), "unsure")]
    costs = [make_row("cost_per_trace", (0.1, 0.3), 3.79, (0.99, 4.6), "harm")]
    rate_scale, cost_scale = scale_of(rates), scale_of(costs)
    assert rate_scale is not None
    assert cost_scale is not None

    assert [tick.label for tick in ticks_of(rates, rate_scale)] == ["−40", "−20", "0", "+20"]
    assert axis_unit(rates, rate_scale) == "pp"
    assert [tick.label for tick in ticks_of(costs, cost_scale)] == ["×1.00", "×1.50", "×2.00", "×3.00"]
    assert axis_unit(costs, cost_scale) == ""
