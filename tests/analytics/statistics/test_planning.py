import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from tracecanary.analytics.statistics import (
    Moments,
    Ordered,
    Rate,
    mean_ratio,
    quantile_ratio,
    rate_difference,
    traces_for_mean_margin,
    traces_for_quantile_margin,
    traces_for_rate_margin,
)

rates = st.integers(0, 10**9).flatmap(lambda n: st.builds(Rate, hits=st.integers(0, n), n=st.just(n)))
NO_MOMENTS = Moments(n=0, total=0.0, total_of_squares=0.0)
UNIT_SPREAD = Moments(n=10**6, total=1e6, total_of_squares=2e6)  # mean 1, standard deviation 1


def moments_of(row: list[float]) -> Moments:
    return Moments(n=len(row), total=sum(row), total_of_squares=sum(x * x for x in row))


def lognormal(n: int, seed: int) -> Ordered:
    return Ordered.of(np.random.default_rng(seed).lognormal(0, 0.5, n))


def ideal_lognormal(n: int) -> Ordered:
    """Values at evenly spaced quantiles: a sample without chance in it."""
    return Ordered.of(np.exp(0.5 * norm.ppf((np.arange(n) + 0.5) / n)))


# (z_0.975 + z_0.8)^2 * 2 p (1 - p) / margin^2, for one planned look.
@pytest.mark.parametrize(
    ("rate", "margin", "traces"), [(0.05, 0.02, 1865), (0.05, 0.01, 7457), (0.02, 0.01, 3077), (0.2, 0.05, 1005)]
)
def test_rate_plan_matches_the_specification(rate: float, margin: float, traces: int) -> None:
    arm = Rate(hits=round(rate * 10**6), n=10**6)

    assert traces_for_rate_margin(arm, arm, margin=margin, confidence=0.95) == traces


def test_rate_plan_is_close_after_a_hundred_traces() -> None:
    arm = Rate(hits=5, n=100)

    assert traces_for_rate_margin(arm, arm, margin=0.02, confidence=0.95) == pytest.approx(1865, rel=0.01)


def test_each_arm_counts_with_its_own_rate() -> None:
    # (1.96 + 0.8416)^2 (0.05 * 0.95 + 0.2 * 0.8) / 0.02^2, however unequal the arms.
    plan = traces_for_rate_margin(
        Rate(hits=5 * 10**6, n=10**8), Rate(hits=10**5, n=5 * 10**5), margin=0.02, confidence=0.95
    )

    assert plan == pytest.approx(4072, abs=1)


@pytest.mark.parametrize("hits", [0, 100], ids=["no-hits", "all-hits"])
def test_arms_that_never_differ_still_need_traces(hits: int) -> None:
    arm = Rate(hits=hits, n=100)

    plan = traces_for_rate_margin(arm, arm, margin=0.01, confidence=0.95)

    assert plan is not None
    assert 100 < plan < 1000


def test_arm_without_traces_is_planned_like_the_other() -> None:
    base = Rate(hits=5_000, n=100_000)

    assert traces_for_rate_margin(base, Rate(hits=0, n=0), margin=0.02, confidence=0.95) == 1865
    assert traces_for_rate_margin(Rate(hits=0, n=0), base, margin=0.02, confidence=0.95) == 1865


@given(rates, rates, st.floats(1e-300, 1.0), st.floats(0.01, 0.9999))
def test_any_rate_gives_a_count_or_none(base: Rate, candidate: Rate, margin: float, confidence: float) -> None:
    plan = traces_for_rate_margin(base, candidate, margin=margin, confidence=confidence)

    assert plan is None or plan >= 1
    assert plan is not None or base.n + candidate.n == 0 or margin < 1e-100


@given(rates, rates, st.floats(1e-4, 1.0))
def test_smaller_margin_never_needs_fewer_traces(base: Rate, candidate: Rate, margin: float) -> None:
    wide = traces_for_rate_margin(base, candidate, margin=margin, confidence=0.95)
    narrow = traces_for_rate_margin(base, candidate, margin=margin / 2, confidence=0.95)

    assert (wide is None and narrow is None) or (wide is not None and narrow is not None and narrow >= wide)


def test_mean_plan_by_hand() -> None:
    plan = traces_for_mean_margin(UNIT_SPREAD, UNIT_SPREAD, margin_ratio=1.1, confidence=0.95)

    # (1.959964 + 0.841621)^2 * 2 / ln(1.1)^2 = 1728.06
    assert plan == 1729


def test_few_equal_costs_do_not_look_free_of_variance() -> None:
    plan = traces_for_mean_margin(UNIT_SPREAD, moments_of([2.0, 2.0]), margin_ratio=1.1, confidence=0.95)

    assert plan == pytest.approx(1729 * 0.75, abs=2)


@pytest.mark.parametrize("arm", [NO_MOMENTS, moments_of([1.0])], ids=["none", "one"])
def test_arm_without_a_variance_is_planned_like_the_other(arm: Moments) -> None:
    assert traces_for_mean_margin(UNIT_SPREAD, arm, margin_ratio=1.1, confidence=0.95) == 1729
    assert traces_for_mean_margin(arm, UNIT_SPREAD, margin_ratio=1.1, confidence=0.95) == 1729


def test_arms_of_equal_values_need_two_traces() -> None:
    arm = moments_of([3.0] * 10)

    assert traces_for_mean_margin(arm, arm, margin_ratio=1.1, confidence=0.95) == 2


@pytest.mark.parametrize(
    ("base", "candidate"),
    [
        pytest.param(NO_MOMENTS, NO_MOMENTS, id="no-traces"),
        pytest.param(moments_of([1.0]), moments_of([2.0]), id="one-trace-each"),
        pytest.param(UNIT_SPREAD, moments_of([0.0, 0.0]), id="zero-mean"),
        pytest.param(UNIT_SPREAD, moments_of([-1.0]), id="negative-mean"),
        pytest.param(Moments(n=2, total=2e-200, total_of_squares=2.0), UNIT_SPREAD, id="all-spread"),
    ],
)
def test_means_that_cannot_be_planned_give_none(base: Moments, candidate: Moments) -> None:
    assert traces_for_mean_margin(base, candidate, margin_ratio=1.1, confidence=0.95) is None


def test_quantile_plan_nears_the_density_formula() -> None:
    arm = ideal_lognormal(200_000)

    plan = traces_for_quantile_margin(arm, arm, 0.5, margin_ratio=1.1, confidence=0.95)

    # v = p (1-p) / (f Q)^2 = 0.25 * 2 pi * 0.5^2 for the median of this lognormal.
    density_plan = (1.959964 + 0.841621) ** 2 * 2 * 0.25 * 2 * math.pi * 0.25 / math.log(1.1) ** 2
    assert plan == pytest.approx(density_plan, rel=0.005)


def test_short_arm_is_planned_like_the_other() -> None:
    base, short = lognormal(5000, seed=2), lognormal(20, seed=3)

    alone = traces_for_quantile_margin(base, base, 0.95, margin_ratio=1.1, confidence=0.95)

    assert traces_for_quantile_margin(base, short, 0.95, margin_ratio=1.1, confidence=0.95) == alone
    assert traces_for_quantile_margin(short, base, 0.95, margin_ratio=1.1, confidence=0.95) == alone


@pytest.mark.parametrize("n", [0, 1, 50])
def test_two_short_arms_need_bounds_first(n: int) -> None:
    arm = lognormal(n, seed=4)

    assert traces_for_quantile_margin(arm, arm, 0.99, margin_ratio=1.2, confidence=0.95) == 381


def test_quantile_of_equal_values_still_needs_bounds() -> None:
    arm = Ordered.of([2.0] * 500)

    assert traces_for_quantile_margin(arm, arm, 0.95, margin_ratio=1.1, confidence=0.95) == 73


@pytest.mark.parametrize(
    "arm", [Ordered.of([0.0] * 100), Ordered.of([0.0] * 45 + [1.0] * 55)], ids=["zero-quantile", "zero-bound"]
)
def test_quantile_without_a_logarithm_gives_none(arm: Ordered) -> None:
    other = lognormal(100, seed=5)

    assert traces_for_quantile_margin(arm, other, 0.5, margin_ratio=1.1, confidence=0.95) is None
    assert traces_for_quantile_margin(other, arm, 0.5, margin_ratio=1.1, confidence=0.95) is None


def test_extreme_confidence_gives_a_count() -> None:
    arm = lognormal(500, seed=6)

    assert traces_for_quantile_margin(arm, arm, 0.5, margin_ratio=1.1, confidence=5e-324) == 1


@pytest.mark.parametrize("margin", [0.0, -0.01, 1.1, math.nan])
def test_impossible_rate_margin_is_refused(margin: float) -> None:
    arm = Rate(hits=1, n=2)

    with pytest.raises(ValueError, match=f"margin is {margin}. Pass a difference of fractions"):
        traces_for_rate_margin(arm, arm, margin=margin, confidence=0.95)


@pytest.mark.parametrize("margin_ratio", [1.0, 0.1, math.inf, math.nan])
def test_impossible_margin_ratio_is_refused(margin_ratio: float) -> None:
    with pytest.raises(ValueError, match=f"margin_ratio is {margin_ratio}. Pass a ratio above 1"):
        traces_for_mean_margin(UNIT_SPREAD, UNIT_SPREAD, margin_ratio=margin_ratio, confidence=0.95)


@pytest.mark.parametrize("power", [0.0, 0.49, 1.0, 80.0])
def test_impossible_power_is_refused(power: float) -> None:
    with pytest.raises(ValueError, match=f"power is {power}. Pass a fraction"):
        traces_for_mean_margin(UNIT_SPREAD, UNIT_SPREAD, margin_ratio=1.1, confidence=0.95, power=power)


# A plan keeps its promise if 80 % of looks at that size end below the margin (one standard error of 600 runs: 1.6).


def test_rate_plan_settles_at_the_stated_power() -> None:
    rng = np.random.default_rng(20261122)
    hits = rng.binomial(1865, 0.05, (600, 2)).tolist()

    settled = 0
    for base, candidate in hits:
        high = rate_difference(Rate(hits=base, n=1865), Rate(hits=candidate, n=1865), confidence=0.95).interval.high
        settled += high is not None and high < 0.02

    assert 0.75 <= settled / 600 <= 0.85


def test_mean_plan_settles_at_the_stated_power() -> None:
    rng = np.random.default_rng(20261122)

    settled = 0
    for _ in range(600):  # exponential: standard deviation equals the mean
        arms = [
            Moments(n=1729, total=float(row.sum()), total_of_squares=float(row @ row))
            for row in rng.exponential(1.0, (2, 1729))
        ]
        high = mean_ratio(arms[0], arms[1], confidence=0.95).interval.high
        settled += high is not None and high < 1.1

    assert 0.75 <= settled / 600 <= 0.85


def test_quantile_plan_settles_at_the_stated_power() -> None:
    rng = np.random.default_rng(20261122)
    pilot = ideal_lognormal(200_000)
    n = traces_for_quantile_margin(pilot, pilot, 0.95, margin_ratio=1.2, confidence=0.95)
    assert n is not None

    settled = 0
    for _ in range(600):
        base, candidate = (Ordered.of(row) for row in rng.lognormal(0, 0.5, (2, n)))
        high = quantile_ratio(base, candidate, 0.95, confidence=0.95).interval.high
        settled += high is not None and high < 1.2

    assert 0.72 <= settled / 600 <= 0.85
