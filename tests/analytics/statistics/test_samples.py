import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.analytics.statistics import Moments, Ordered, Rate

rates = st.integers(0, 10**9).flatmap(lambda n: st.builds(Rate, hits=st.integers(0, n), n=st.just(n)))
values = st.floats(-1e9, 1e9)
samples = st.lists(values, max_size=30)


def moments_of(row: list[float]) -> Moments:
    return Moments(n=len(row), total=sum(row), total_of_squares=sum(x * x for x in row))


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_impossible_rate_is_refused_and_named(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{hits} hits out of {n} traces"):
        Rate(hits=hits, n=n)


def test_rate_without_traces_has_no_value() -> None:
    assert Rate(hits=0, n=0).value is None


def test_rate_is_the_share_of_hits() -> None:
    assert Rate(hits=1, n=4).value == 0.25


@given(rates, rates)
def test_rates_add_up_in_any_order(a: Rate, b: Rate) -> None:
    assert a + b == b + a == Rate(hits=a.hits + b.hits, n=a.n + b.n)


@pytest.mark.parametrize(
    ("n", "total", "total_of_squares", "message"),
    [
        pytest.param(-1, 0.0, 0.0, "cannot be negative", id="negative-count"),
        pytest.param(2, math.nan, 1.0, "must be finite", id="nan-total"),
        pytest.param(2, 1.0, math.inf, "must be finite", id="infinite-squares"),
        pytest.param(0, 1.0, 1.0, "no 0 values", id="sum-of-nothing"),
        pytest.param(0, 0.0, 1.0, "no 0 values", id="squares-of-nothing"),
        pytest.param(2, 0.0, -1.0, "no 2 values", id="negative-squares"),
        pytest.param(2, 10.0, 10.0, "no 2 values", id="squares-in-another-unit"),
        pytest.param(1, 1e200, 1e300, "no 1 values", id="square-of-total-overflows"),
    ],
)
def test_impossible_moments_are_refused_and_named(n: int, total: float, total_of_squares: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Moments(n=n, total=total, total_of_squares=total_of_squares)


def test_moments_know_mean_and_variance_only_with_enough_traces() -> None:
    none, one, two = moments_of([]), moments_of([3.0]), moments_of([3.0, 5.0])

    assert (none.mean, none.variance) == (None, None)
    assert (one.mean, one.variance) == (3.0, None)
    assert (two.mean, two.variance) == (4.0, 2.0)


@given(samples, samples)
def test_moments_add_up_in_any_order(a: list[float], b: list[float]) -> None:
    assert moments_of(a) + moments_of(b) == moments_of(b) + moments_of(a)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_variance_agrees_with_numpy(row: list[float]) -> None:
    moments = moments_of(row)

    # What cancels in the sum of squares is lost to rounding, and no more than that.
    assert moments.variance == pytest.approx(
        float(np.var(row, ddof=1)), rel=1e-9, abs=1e-13 * moments.total_of_squares + 1e-300
    )


@given(st.floats(-1e150, 1e150), st.integers(2, 3000))
def test_equal_values_have_no_variance(value: float, n: int) -> None:
    assert moments_of([value] * n).variance == 0.0


def test_a_million_equal_values_have_no_variance_though_their_sum_drifts() -> None:
    row = [0.1] * 1_000_000
    *_, drifted = itertools.accumulate(row[:10])  # sum() makes up for rounding from Python 3.12 on
    assert drifted != 1.0

    assert moments_of(row).variance == 0.0


def test_values_whose_squares_vanish_are_not_refused() -> None:
    moments = moments_of([1.2e-162] * 3)
    assert moments.total_of_squares < moments.total * (moments.total / 3)

    assert moments.mean == pytest.approx(1.2e-162)
    assert moments.variance == 0.0


def test_small_variance_around_a_large_mean_is_kept() -> None:
    assert moments_of([1e4 + (i % 2) for i in range(1000)]).variance == pytest.approx(0.25 * 1000 / 999, rel=1e-3)


@given(samples)
def test_order_of_arrival_does_not_matter(row: list[float]) -> None:
    assert Ordered.of(row) == Ordered.of(reversed(row))
    assert hash(Ordered.of(row)) == hash(Ordered.of(reversed(row)))


@given(st.lists(values, min_size=1, max_size=40), st.floats(0, 1))
def test_quantile_is_numpys_linear_one(row: list[float], p: float) -> None:
    assert Ordered.of(row).quantile(p) == pytest.approx(float(np.quantile(row, p)), rel=1e-9, abs=1e-6)


def test_quantile_of_huge_values_does_not_overflow() -> None:
    assert Ordered.of([-1.7e308, 1.7e308]).quantile(0.5) == 0.0


def test_quantile_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p is 95\. Pass a fraction"):
        Ordered.of([1.0]).quantile(95)


def test_ranks_start_at_one_and_missing_ones_are_none() -> None:
    ordered = Ordered.of([30, 10, 20])

    assert [ordered.at_rank(rank) for rank in range(-1, 5)] == [None, None, 10.0, 20.0, 30.0, None]


def test_empty_sample_has_no_quantile() -> None:
    empty = Ordered.of([])

    assert (empty.n, empty.quantile(0.5), empty.at_rank(1)) == (0, None, None)


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_is_refused(strange: float) -> None:
    with pytest.raises(ValueError, match="1 values are not finite"):
        Ordered.of([1.0, strange])


def test_unsorted_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"value 3 is below the one before\. Use Ordered\.of"):
        Ordered(values=np.array([1.0, 2.0, 0.5]))


def test_values_with_two_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        Ordered(values=np.array([[1.0, 2.0]]))


def test_sample_does_not_change_with_the_array_it_came_from() -> None:
    source = np.array([1.0, 2.0])
    ordered = Ordered(values=source)

    source[0] = 9.0

    assert ordered.at_rank(1) == 1.0
    with pytest.raises(ValueError, match="read-only"):
        ordered.values[0] = 9.0
