import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.rates import log_mixture_e_value, rate_bounds, rate_differences

ONE_LOOK = Look(confidence=0.95)
ANY_TIME = Look(confidence=0.95, planned=4000)
LOOKS = [pytest.param(ONE_LOOK, id="one-look"), pytest.param(ANY_TIME, id="any-time")]


def one(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([value])


def difference(base: tuple[int, int], candidate: tuple[int, int], look: Look) -> tuple[float, float, float]:
    (x, n), (y, m) = base, candidate
    found = rate_differences((one(x / n), one(y / m)), (one(n), one(m)), look)
    return float(found.value[0]), float(found.low[0]), float(found.high[0])


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (1, 29), (15, 148), (81, 263), (27, 27), (10**6, 10**9)])
def test_wilson_interval_is_that_of_statsmodels(hits: int, n: int) -> None:
    found = rate_bounds(one(hits / n), one(n), ONE_LOOK)

    expected = proportion_confint(hits, n, method="wilson")
    assert (found.low[0], found.high[0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("candidate", "base", "low", "high"),
    [
        # Newcombe, Stat. Med. 17 (1998) 873-890, table II, method 10: (a) to (h).
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_difference_is_newcombes_published_one(
    candidate: tuple[int, int], base: tuple[int, int], low: float, high: float
) -> None:
    assert difference(base, candidate, ONE_LOOK)[1:] == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("base", "candidate"), [((5, 300), (12, 310)), ((0, 50), (3, 900)), ((40, 41), (900, 1000))])
def test_difference_is_that_of_statsmodels(base: tuple[int, int], candidate: tuple[int, int]) -> None:
    expected = confint_proportions_2indep(*candidate, *base, method="newcomb", compare="diff")

    assert difference(base, candidate, ONE_LOOK)[1:] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(0, 50), (3, 100), (50, 1000), (997, 1000), (40, 40)])
def test_bounds_at_any_time_are_where_the_e_value_reaches_its_threshold(hits: int, n: int) -> None:
    found = rate_bounds(one(hits / n), one(n), ANY_TIME)

    # The e-value by integration: a Beta(m p, m (1 - p)) mixture of binomial likelihoods over the one at p.
    m = ANY_TIME.prior_traces
    for bound in (float(found.low[0]), float(found.high[0])):
        if not 0 < bound < 1:
            continue
        reference = stats.betabinom.logpmf(hits, n, m * bound, m * (1 - bound)) - stats.binom.logpmf(hits, n, bound)
        assert reference == pytest.approx(math.log(20), abs=1e-6)


def test_mixture_is_an_e_value() -> None:
    hits = np.arange(201.0)

    for p in (0.01, 0.3, 0.9):
        e_values = np.exp(log_mixture_e_value(np.full(201, p), hits, 200 - hits, ANY_TIME.prior_traces))
        assert float((stats.binom.pmf(hits, 200, p) * e_values).sum()) == pytest.approx(1.0, abs=1e-9)


def test_large_samples_have_the_normal_mixtures_interval() -> None:
    n = 400_000.0
    found = rate_differences((one(0.3), one(0.3)), (one(n), one(n)), Look(confidence=0.95, planned=400_000))

    error = math.sqrt(2 * 0.21 / n)
    expected = Look(confidence=0.95, planned=400_000).critical(one(n / 2))[0] * error
    assert found.high[0] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("look", LOOKS)
@given(data=st.data())
def test_bounds_hold_the_rate_and_stay_in_range(look: Look, data: st.DataObject) -> None:
    n = data.draw(st.one_of(st.integers(1, 300), st.integers(1, 10**9)))
    hits = data.draw(st.integers(0, n))
    share = data.draw(st.floats(0.01, 1.0))

    found = rate_bounds(one(hits / n), one(n * share), look)

    low, value, high = float(found.low[0]), hits / n, float(found.high[0])
    assert 0 <= low <= value <= high <= 1
    assert low < 1 or value == 1


@pytest.mark.parametrize("look", LOOKS)
@given(st.integers(0, 500), st.integers(0, 500))
def test_misses_have_the_mirrored_interval(look: Look, hits: int, misses: int) -> None:
    n = hits + misses
    if n == 0:
        return
    of_hits, of_misses = (rate_bounds(one(count / n), one(n), look) for count in (hits, misses))

    assert of_hits.low[0] == pytest.approx(1 - of_misses.high[0], abs=1e-9)


@pytest.mark.parametrize("look", LOOKS)
@given(st.integers(0, 400), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_more_confidence_never_narrows(look: Look, hits: int, one_level: float, other: float) -> None:
    narrow, wide = (
        rate_bounds(one(hits / 400), one(400), look.at_confidence(level)) for level in sorted((one_level, other))
    )

    assert wide.low[0] <= narrow.low[0] + 1e-9
    assert wide.high[0] >= narrow.high[0] - 1e-9


@pytest.mark.parametrize("look", LOOKS)
def test_no_traces_are_undefined_and_harm_no_neighbour(look: Look) -> None:
    rates, traces = np.array([np.nan, 0.1]), np.array([0.0, 500.0])

    found = rate_differences((rates, rates), (traces, traces), look)

    assert np.isnan([found.value[0], found.low[0], found.high[0]]).all()
    assert np.isfinite([found.value[1], found.low[1], found.high[1]]).all()


def test_correlated_arms_have_a_narrower_interval() -> None:
    rates, traces = (one(0.1), one(0.1)), (one(1000), one(1000))

    apart = rate_differences(rates, traces, ANY_TIME)
    paired = rate_differences(rates, traces, ANY_TIME, correlation=0.75)

    assert paired.high[0] == pytest.approx(apart.high[0] / 2, rel=0.05)
