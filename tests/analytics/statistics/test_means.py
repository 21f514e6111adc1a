import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.means import MAX_SKEWNESS, MeanArms, log_ratios, mean_ratios
from tracecanary.analytics.statistics.standardise import GroupSums, standardise

ONE_LOOK = Look(confidence=0.95)
Floats = NDArray[np.float64]


def arms_of(base: Floats, candidate: Floats) -> MeanArms:
    shape = (1, 1, 2, 1, 1)
    n, total, squares, cubes = (
        np.array([float((arm**power).sum()) for arm in (base, candidate)]).reshape(shape) for power in range(4)
    )
    return MeanArms.of(standardise(GroupSums(n=n, total=total, squares=squares, cubes=cubes)))


def ratio(base: Floats, candidate: Floats, look: Look = ONE_LOOK) -> tuple[float, float, float]:
    found = mean_ratios(arms_of(base, candidate), look)
    return float(found.value[0, 0]), float(found.low[0, 0]), float(found.high[0, 0])


def test_one_look_is_welchs_t_interval_of_the_log_ratio() -> None:
    rng = np.random.default_rng(5)
    base, candidate = rng.gamma(2, 1, 400), rng.gamma(2, 1.2, 300)

    value, low, high = ratio(base, candidate)

    # Values in units of their own mean have a mean of 1, where the logarithm's slope is 1.
    welch = stats.ttest_ind(candidate / candidate.mean(), base / base.mean(), equal_var=False)
    expected = welch.confidence_interval(0.95)
    assert value == pytest.approx(candidate.mean() / base.mean(), rel=1e-12)
    assert math.log(high / value) == pytest.approx(expected.high, rel=1e-6)
    assert math.log(value / low) == pytest.approx(-expected.low, rel=1e-6)


def test_any_time_is_the_clocks_multiple_of_the_error() -> None:
    rng = np.random.default_rng(6)
    base, candidate = rng.gamma(2, 1, 50_000), rng.gamma(2, 1, 50_000)
    look = Look(confidence=0.95, planned=50_000)

    value, _, high = ratio(base, candidate, look)

    error = math.hypot(*(arm.std(ddof=1) / arm.mean() / math.sqrt(arm.size) for arm in (base, candidate)))
    assert math.log(high / value) == pytest.approx(3.03512 * error, rel=1e-4)


def test_skewness_of_alike_arms_cancels_and_of_a_small_arm_does_not() -> None:
    rng = np.random.default_rng(7)
    skewed = rng.lognormal(0, 1, 2000)
    rare = np.where(rng.random(2000) < 0.005, 1000.0, 1.0)

    assert log_ratios(arms_of(skewed, skewed[::-1]), ONE_LOOK).skewness[0, 0] == pytest.approx(0, abs=1e-9)
    assert (
        abs(log_ratios(arms_of(np.full(20_000, 5.0) + rng.normal(0, 1, 20_000), rare), ONE_LOOK).skewness[0, 0])
        > MAX_SKEWNESS
    )


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=50),
    st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=50),
    st.floats(1e-3, 1e3),
)
def test_ratio_does_not_depend_on_the_unit(base: list[float], candidate: list[float], unit: float) -> None:
    one, other = np.array(base), np.array(candidate)

    assert ratio(unit * one, unit * other) == pytest.approx(ratio(one, other), rel=1e-4)


@given(st.lists(st.floats(0, 1e9), max_size=5), st.lists(st.floats(0, 1e9), max_size=5))
def test_a_few_values_give_a_ratio_or_none_and_never_an_error(base: list[float], candidate: list[float]) -> None:
    value, low, high = ratio(np.array(base), np.array(candidate))

    if base and candidate and sum(base) > 1e-300 and sum(candidate) > 1e-300 and math.isfinite(value):
        assert value > 0
        assert math.isnan(low) or low <= value <= high
    assert not (math.isnan(value) and math.isfinite(low))


def test_equal_values_leave_no_doubt() -> None:
    assert ratio(np.full(200, 0.1), np.full(300, 0.2)) == pytest.approx((2.0, 2.0, 2.0))
