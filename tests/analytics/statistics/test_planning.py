import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.planning import detectable_effect, traces_needed

ONE_LOOK = Look(confidence=0.95)


@pytest.mark.parametrize(
    ("rate", "margin", "sequential", "fixed"),
    [(0.05, 0.02, 3570, 1865), (0.05, 0.01, 14_277, 7457), (0.02, 0.01, 5891, 3077), (0.2, 0.05, 1924, 1005)],
)
def test_traces_of_a_plan(rate: float, margin: float, sequential: int, fixed: int) -> None:
    variance, margins = np.array([2 * rate * (1 - rate)]), np.array([margin])

    # At the plan's own number the critical value is the plan's.
    planned = Look(confidence=0.95, planned=sequential)

    assert traces_needed(variance, margins, planned)[0] == pytest.approx(sequential, rel=1e-3)
    assert traces_needed(variance, margins, ONE_LOOK)[0] == pytest.approx(fixed, abs=1)


def test_one_look_has_the_power_that_statsmodels_says() -> None:
    needed = float(traces_needed(np.array([2.0]), np.array([0.2]), ONE_LOOK)[0])

    power = NormalIndPower().power(0.2, needed, 0.025, alternative="larger")
    assert power == pytest.approx(0.8, abs=1e-3)


@given(st.floats(1e-6, 1e3), st.floats(1e-4, 10), st.floats(1.1, 4))
def test_a_wider_margin_needs_fewer_traces(variance: float, margin: float, factor: float) -> None:
    look = Look(confidence=0.95, planned=1000)
    narrow, wide = (
        traces_needed(np.array([variance]), np.array([size]), look)[0] for size in (margin, factor * margin)
    )

    assert wide <= narrow


def test_an_unknown_variance_needs_an_unknown_number() -> None:
    assert np.isnan(traces_needed(np.array([np.nan]), np.array([0.1]), ONE_LOOK)[0])


def test_detectable_effect_is_what_the_planned_traces_detect() -> None:
    traces = traces_needed(np.array([0.095]), np.array([0.02]), ONE_LOOK)

    assert detectable_effect(np.sqrt(0.095 / traces), np.array([ONE_LOOK.z]))[0] == pytest.approx(0.02, rel=1e-3)


def test_power_below_a_half_is_refused() -> None:
    with pytest.raises(ValueError, match=r"power is 0\.4"):
        traces_needed(np.array([1.0]), np.array([1.0]), ONE_LOOK, power=0.4)
