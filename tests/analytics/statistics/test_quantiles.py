import math
from typing import cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom, quantile_test

from tracecanary.analytics.statistics import (
    Interval,
    Ordered,
    quantile_interval,
    quantile_ratio,
    traces_for_bounded_quantile,
)

fractions = st.floats(0.01, 0.99)
confidences = st.floats(0.01, 0.9999)
nested_confidences = st.tuples(confidences, confidences).map(sorted)
positive_samples = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=80).map(Ordered.of)
UNKNOWN = Interval(low=None, high=None)


def ranks(n: int, p: float, *, confidence: float = 0.95) -> Interval:
    """Bounds of a sample whose values are its ranks."""
    return quantile_interval(Ordered.of(range(1, n + 1)), p, confidence=confidence)


def test_interval_by_hand() -> None:
    # 100 values, p = 0.5: 50 -+ 1.96 * 5 = 40.2 .. 59.8, so ranks ceil(40.2) and floor(59.8) + 1.
    assert ranks(100, 0.5) == Interval(low=41.0, high=60.0)


@pytest.mark.parametrize(
    ("p", "traces"), [(0.5, 4), (0.95, 73), (0.99, 381), (0.05, 73), (0.01, 381), (0.999, 3838)], ids=str
)
def test_bounds_need_this_many_traces(p: float, traces: int) -> None:
    assert traces_for_bounded_quantile(p, confidence=0.95) == traces


@given(fractions, st.floats(0.5, 0.999))
def test_one_trace_fewer_leaves_a_side_unbounded(p: float, confidence: float) -> None:
    traces = traces_for_bounded_quantile(p, confidence=confidence)

    enough, fewer = (ranks(n, p, confidence=confidence) for n in (traces, traces - 1))

    assert enough.low is not None
    assert enough.high is not None
    assert fewer.low is None or fewer.high is None


def test_tail_of_a_small_sample_is_unbounded_and_never_the_maximum() -> None:
    assert ranks(380, 0.99).high is None
    assert ranks(381, 0.99).high == 381.0
    assert ranks(380, 0.01).low is None
    assert ranks(1, 0.5) == UNKNOWN


def test_sample_without_traces_has_no_interval() -> None:
    assert quantile_interval(Ordered.of([]), 0.5, confidence=0.95) == UNKNOWN


@pytest.mark.parametrize("p", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [400, 1000, 5000])
def test_ranks_are_within_one_of_the_exact_binomial_ones(n: int, p: float) -> None:
    # scipy's interval for a quantile takes the exact binomial where ours takes its normal approximation.
    exact = quantile_test(np.arange(1, n + 1), q=0, p=p).confidence_interval(0.95)
    exact_low, exact_high = cast("tuple[float, float]", exact)  # scipy-stubs takes the pair for one number

    interval = ranks(n, p)

    assert interval.low is not None
    assert interval.high is not None
    assert abs(interval.low - exact_low) <= 1
    assert abs(interval.high - exact_high) <= 1


@pytest.mark.parametrize(("p", "n"), [(0.5, 100), (0.95, 300), (0.95, 2000), (0.99, 1000), (0.99, 5000)])
def test_interval_covers_the_quantile_with_nearly_the_stated_probability(p: float, n: int) -> None:
    interval = ranks(n, p)
    assert interval.low is not None
    assert interval.high is not None

    # It misses if fewer than `low`, or at least `high`, of the values lie at or below the quantile: exact, for any
    # continuous distribution.
    missed = binom.cdf(interval.low - 1, n, p) + binom.sf(interval.high - 1, n, p)

    assert missed == pytest.approx(0.05, abs=0.015)


@given(positive_samples, fractions, confidences)
@example(sample=Ordered.of(range(1, 11)), p=0.99, confidence=0.95)
@example(sample=Ordered.of(range(1, 11)), p=0.01, confidence=0.95)
def test_quantile_lies_in_its_interval(sample: Ordered, p: float, confidence: float) -> None:
    interval, value = quantile_interval(sample, p, confidence=confidence), sample.quantile(p)

    assert value is not None
    assert interval.low is None or interval.low <= value
    assert interval.high is None or value <= interval.high


@given(positive_samples, positive_samples, fractions, nested_confidences)
def test_more_confidence_never_narrows_a_ratio(base: Ordered, candidate: Ordered, p: float, pair: list[float]) -> None:
    less, more = (quantile_ratio(base, candidate, p, confidence=confidence).interval for confidence in pair)

    assert more.low is None or (less.low is not None and more.low <= less.low * (1 + 1e-12))
    assert more.high is None or (less.high is not None and more.high >= less.high * (1 - 1e-12))


@given(positive_samples, positive_samples, fractions, confidences)
def test_ratio_lies_in_its_interval(base: Ordered, candidate: Ordered, p: float, confidence: float) -> None:
    effect = quantile_ratio(base, candidate, p, confidence=confidence)

    assert effect.value is not None
    assert effect.interval.low is None or 0 < effect.interval.low <= effect.value
    assert effect.interval.high is None or effect.value <= effect.interval.high < math.inf
    assert (effect.interval.low is None or effect.interval.high is None) == (effect.reason is not None)


@given(positive_samples, positive_samples, fractions, confidences)
def test_swapped_arms_invert_the_ratio(base: Ordered, candidate: Ordered, p: float, confidence: float) -> None:
    forth = quantile_ratio(base, candidate, p, confidence=confidence)
    back = quantile_ratio(candidate, base, p, confidence=confidence)

    assert forth.value is not None
    assert back.value == pytest.approx(1 / forth.value)
    for bound, inverse in ((forth.interval.low, back.interval.high), (forth.interval.high, back.interval.low)):
        assert (inverse is None) if bound is None else (inverse == pytest.approx(1 / bound))


def test_ratio_is_mover_on_logarithms() -> None:
    base, candidate = Ordered.of(range(1, 101)), Ordered.of(range(3, 303, 3))

    effect = quantile_ratio(base, candidate, 0.5, confidence=0.95)

    # Per arm 41 .. 60 around 50.5; three times that in the candidate.
    reach = math.hypot(math.log(50.5 / 41), math.log(60 / 50.5))
    assert effect.value == pytest.approx(3)
    assert effect.interval.low == pytest.approx(3 * math.exp(-reach))
    assert effect.interval.high == pytest.approx(3 * math.exp(reach))
    assert effect.reason is None


def test_short_candidate_leaves_only_the_upper_side_unbounded() -> None:
    base, candidate = Ordered.of(range(1, 501)), Ordered.of(range(1, 101))

    effect = quantile_ratio(base, candidate, 0.99, confidence=0.95)

    assert effect.interval.low is not None
    assert effect.interval.high is None
    assert effect.reason == "the candidate needs 381 traces for both bounds of its p99 and has 100"


def test_short_base_leaves_only_the_lower_side_unbounded() -> None:
    base, candidate = Ordered.of(range(1, 101)), Ordered.of(range(1, 501))

    effect = quantile_ratio(base, candidate, 0.99, confidence=0.95)

    assert effect.interval.low is None
    assert effect.interval.high is not None
    assert effect.reason == "the base needs 381 traces for both bounds of its p99 and has 100"


def test_two_short_arms_are_both_named() -> None:
    short = Ordered.of(range(1, 11))

    effect = quantile_ratio(short, short, 0.95, confidence=0.95)

    assert (effect.value, effect.interval) == (1.0, UNKNOWN)
    assert effect.reason == (
        "the base needs 73 traces for both bounds of its p95 and has 10; "
        "the candidate needs 73 traces for both bounds of its p95 and has 10"
    )


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        pytest.param(Ordered.of([]), "the {} has no traces", id="none"),
        pytest.param(Ordered.of([0.0] * 9), "the {}'s p50 is 0: a ratio needs one above 0", id="zero"),
        pytest.param(Ordered.of([-2.0]), "the {}'s p50 is -2: a ratio needs one above 0", id="negative"),
    ],
)
def test_quantile_that_has_no_ratio_is_named(arm: Ordered, reason: str) -> None:
    other = Ordered.of(range(1, 101))

    as_base = quantile_ratio(arm, other, 0.5, confidence=0.95)
    as_candidate = quantile_ratio(other, arm, 0.5, confidence=0.95)

    assert (as_base.value, as_base.interval, as_base.reason) == (None, UNKNOWN, reason.format("base"))
    assert (as_candidate.value, as_candidate.interval) == (None, UNKNOWN)
    assert as_candidate.reason == reason.format("candidate")


def test_lower_bound_of_zero_is_named() -> None:
    half_zero = Ordered.of([0.0] * 45 + [1.0] * 55)

    effect = quantile_ratio(Ordered.of([1.0] * 100), half_zero, 0.5, confidence=0.95)

    assert (effect.value, effect.interval) == (1.0, Interval(low=None, high=1.0))
    assert effect.reason == "the lower bound of the candidate's p50 is 0: a ratio needs one above 0"


def test_arms_of_equal_values_collapse_the_interval() -> None:
    effect = quantile_ratio(Ordered.of([2.0] * 80), Ordered.of([3.0] * 80), 0.95, confidence=0.95)

    assert (effect.value, effect.interval, effect.reason) == (1.5, Interval(low=1.5, high=1.5), None)


@given(
    st.lists(st.floats(-1e308, 1e308), max_size=30).map(Ordered.of),
    st.lists(st.floats(-1e308, 1e308), max_size=30).map(Ordered.of),
    fractions,
    st.floats(1e-12, 1 - 1e-12),
)
def test_no_sample_gives_nan_infinity_or_an_exception(
    base: Ordered, candidate: Ordered, p: float, confidence: float
) -> None:
    effect = quantile_ratio(base, candidate, p, confidence=confidence)

    found = [effect.value, effect.interval.low, effect.interval.high]
    assert all(number is None or math.isfinite(number) for number in found)
    assert (None in found) == (effect.reason is not None)


@pytest.mark.parametrize("p", [0.0, 1.0, 95.0])
def test_quantile_outside_zero_and_one_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=f"p is {p}. Pass a fraction"):
        quantile_interval(Ordered.of([1.0]), p, confidence=0.95)


# At one look the prototype measured 95.8 % (p50, n 300), 96.9 % (p95, n 300) and 98.2 % (p99, n 1000).
@pytest.mark.parametrize(("p", "n"), [(0.5, 300), (0.95, 300), (0.99, 1000)], ids=str)
def test_interval_covers_the_true_ratio_as_often_as_it_says(p: float, n: int) -> None:
    rng = np.random.default_rng(20261122)

    covered = 0
    for _ in range(1000):
        base, candidate = Ordered.of(rng.lognormal(0, 1, n)), Ordered.of(rng.lognormal(math.log(1.3), 1, n))
        interval = quantile_ratio(base, candidate, p, confidence=0.95).interval
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 1.3 <= interval.high

    assert 935 <= covered <= 990
