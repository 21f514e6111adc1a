import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from tracecanary.analytics.statistics.arrays import Bounds
from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.histograms import Histograms, bucket_of
from tracecanary.analytics.statistics.quantiles import (
    bound_ranks,
    log_quantile_bounds,
    quantile_ratios,
    traces_for_bounded_quantile,
)

ONE_LOOK = Look(confidence=0.95)
ANY_TIME = Look(confidence=0.95, planned=5000)
# Half of a bucket's width: what interpolation can be off by, at most.
HALF_BUCKET = 2 ** (1 / 64) - 1


def histogram(values: NDArray[np.float64]) -> Histograms:
    buckets = bucket_of(values[values > 0]).astype(np.intp)
    first = int(buckets.min()) if buckets.size else 0
    counts = np.bincount(buckets - first + 1, minlength=2).astype(float)
    counts[0] = (values == 0).sum()
    return Histograms(counts=counts[None], first=first)


def interval(values: NDArray[np.float64], p: float, look: Look, *, traces: float | None = None) -> list[float]:
    found = log_quantile_bounds(histogram(values), [p], np.array([[traces or len(values)]]), look)
    return [float(np.exp(bound[0, 0])) for bound in (found.low, found.value, found.high)]


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_quantile_is_numpys_within_half_a_bucket(p: float) -> None:
    values = np.random.default_rng(1).lognormal(0, 1, 5000)

    assert interval(values, p, ONE_LOOK)[1] == pytest.approx(np.quantile(values, p), rel=HALF_BUCKET)


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_one_look_has_the_order_statistics_of_the_binomial_test(p: float) -> None:
    values = np.random.default_rng(2).lognormal(0, 1, 4000)

    low, _, high = interval(values, p, ONE_LOOK)

    exact: Any = stats.quantile_test(values, q=1.0, p=p).confidence_interval(0.95)  # as its stubs leave it
    # The exact test may take the next order statistic; both lie within a bucket here.
    assert (low, high) == pytest.approx((exact.low, exact.high), rel=2.5 * HALF_BUCKET)


@pytest.mark.parametrize(
    ("look", "p", "traces"),
    [
        (ONE_LOOK, 0.99, 381),
        (ONE_LOOK, 0.95, 73),
        (Look(confidence=0.95, planned=2000), 0.99, 600),
        (ANY_TIME, 0.99, 815),
        (Look(confidence=0.95, planned=20_000), 0.99, 1409),
        (ANY_TIME, 0.95, 304),
    ],
)
def test_a_tail_is_bounded_from_so_many_traces_on(look: Look, p: float, traces: int) -> None:
    assert traces_for_bounded_quantile(p, look) == traces
    values = np.random.default_rng(3).lognormal(0, 1, traces)
    assert math.isfinite(interval(values, p, look)[2])
    assert interval(values[1:], p, look)[2] == math.inf


@pytest.mark.parametrize("p", [0.5, 0.95])
def test_ranks_at_any_time_are_those_the_beta_binomial_does_not_reject(p: float) -> None:
    n, m = 900, ANY_TIME.prior_traces
    counts = np.arange(n + 1)
    log_e = stats.betabinom.logpmf(counts, n, m * p, m * (1 - p)) - stats.binom.logpmf(counts, n, p)
    kept = counts[log_e < math.log(20)]

    low, high = bound_ranks(np.array([float(n)]), p, ANY_TIME)

    assert (low[0], high[0]) == (kept[0], kept[-1] + 1)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]), st.booleans())
def test_bounds_hold_the_quantile(values: list[float], p: float, is_one_look: bool) -> None:
    low, value, high = interval(np.array(values), p, ONE_LOOK if is_one_look else ANY_TIME)

    assert 0 <= low <= value <= high
    assert min(values) / 1.03 <= value <= max(values) * 1.03


def test_all_equal_values_have_a_bucket_for_an_interval() -> None:
    low, value, high = interval(np.full(2000, 3.0), 0.95, ANY_TIME)

    assert high / low < 2 ** (1 / 32) + 1e-9
    assert value == pytest.approx(3.0, rel=2 * HALF_BUCKET)


def test_clustered_traces_widen_the_interval() -> None:
    values = np.random.default_rng(4).lognormal(0, 1, 4000)

    alone, clustered = interval(values, 0.5, ANY_TIME), interval(values, 0.5, ANY_TIME, traces=1000)

    assert math.log(clustered[2] / clustered[0]) > 1.5 * math.log(alone[2] / alone[0])


def test_a_quantile_of_zero_has_no_ratio() -> None:
    zeros, ones = (
        log_quantile_bounds(histogram(np.full(500, v)), [0.5], np.array([[500.0]]), ONE_LOOK) for v in (0, 1)
    )

    found = quantile_ratios(zeros, ones)

    assert np.isnan([found.value[0, 0], found.low[0, 0], found.high[0, 0]]).all()


def test_an_unbounded_side_of_either_arm_leaves_the_ratio_unbounded() -> None:
    sure = Bounds(value=np.array([0.0]), low=np.array([-0.1]), high=np.array([0.1]))
    unsure = Bounds(value=np.array([0.0]), low=np.array([-0.1]), high=np.array([math.inf]))

    assert quantile_ratios(sure, unsure).high[0] == math.inf
    assert quantile_ratios(unsure, sure).low[0] == -math.inf
    assert quantile_ratios(unsure, sure).high[0] == pytest.approx(math.exp(math.hypot(0.1, 0.1)))


@pytest.mark.parametrize("p", [0.0, 1.0, math.nan])
def test_what_is_no_quantile_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="quantiles are"):
        interval(np.ones(5), p, ONE_LOOK)
