"""How numbers read."""
# ruff: noqa: RUF001 - the texts under test carry a true minus, a multiplication sign and an en dash

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tracecanary.api.presentation.figures import effect_text, interval_text, margin_text, size_text, value_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracecanary.analytics.answer import MetricRow


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        pytest.param(None, "USD", "–", id="null-is-a-dash"),
        pytest.param(0.0, "fraction", "0.0 %", id="zero-is-not-a-dash"),
        pytest.param(0.343, "fraction", "34.3 %", id="fraction"),
        pytest.param(0.0004, "fraction", "0.04 %", id="rare"),
        pytest.param(34.84, "s", "34.8 s", id="seconds"),
        pytest.param(0.8123, "s", "812 ms", id="below-a-second"),
        pytest.param(0.9999, "s", "1.00 s", id="no-1000-ms"),
        pytest.param(1312.4, "s", "1,312 s", id="many-seconds"),
        pytest.param(0.063, "USD", "$0.0630", id="cents"),
        pytest.param(0.00000421, "USD", "$0.00000421", id="tiny-cost-keeps-three-digits"),
        pytest.param(1234.5, "USD", "$1,234.50", id="dollars"),
        pytest.param(12345.4, "tokens", "12,345", id="tokens"),
        pytest.param(7.25, "steps", "7.25", id="steps"),
        pytest.param(-2.5, "points", "−2.5 points", id="own-unit"),
    ],
)
def test_value_reads_in_its_unit(value: float | None, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


@pytest.mark.parametrize(
    ("metric", "effect", "interval", "effect_reads", "interval_reads"),
    [
        pytest.param("error_rate", -0.207, (-0.31, -0.099), "−20.7 pp", "−31.0 … −9.9 pp", id="percent-points"),
        pytest.param("error_rate", 0.0, (-0.03, 0.03), "0.0 pp", "−3.0 … +3.0 pp", id="zero-has-no-sign"),
        pytest.param("latency_p50", 1.42, (1.33, 1.51), "+42 %", "+33 … +51 %", id="ratio-as-percent"),
        pytest.param("cost_per_trace", 3.79, (0.9, 4.6), "×3.79", "×0.90 … ×4.60", id="threefold-as-factors"),
        pytest.param("latency_p99", 1.36, (0.81, None), "+36 %", "−19 % … ∞", id="unbounded-above"),
        pytest.param("error_rate", 0.01, (None, 0.04), "+1.0 pp", "−∞ … +4.0 pp", id="unbounded-below"),
        pytest.param("error_rate", None, (None, None), "–", "–", id="undefined"),
    ],
)
def test_effect_and_interval_read_in_one_notation(
    make_row: Callable[..., MetricRow],
    metric: str,
    effect: float | None,
    interval: tuple[float | None, float | None],
    effect_reads: str,
    interval_reads: str,
) -> None:
    row = make_row(metric, (0.1, 0.1), effect, interval)

    assert effect_text(row) == effect_reads
    assert interval_text(row) == interval_reads


def test_bound_just_below_the_margin_does_not_read_as_the_margin(make_row: Callable[..., MetricRow]) -> None:
    row = make_row("error_rate", (0.1, 0.1), 0.002, (-0.004, 0.0098), "safe")

    assert interval_text(row) == "−0.40 … +0.98 pp"
    assert margin_text(row) == "+1.00 pp"


def test_bound_just_above_no_difference_does_not_read_as_none(make_row: Callable[..., MetricRow]) -> None:
    row = make_row("latency_p50", (1.0, 1.0), 1.05, (1.004, 1.08), "worse")

    assert interval_text(row) == "+0.4 … +8.0 %"


def test_size_carries_no_sign_for_a_sentence_that_says_lower(make_row: Callable[..., MetricRow]) -> None:
    assert size_text(make_row("error_rate", (0.1, 0.1), -0.05, (-0.1, -0.02), "better")) == "5.0 pp"
