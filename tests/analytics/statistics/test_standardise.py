"""Standardised means and clustered variances, against plain Python over single values."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tracecanary.analytics.statistics.standardise import ArmMeans, GroupSums, standardise, stratum_weights

# Values of one arm in one stratum, each with its cluster group.
Value = tuple[float, int]
Strata = Sequence[tuple[Sequence[Value], Sequence[Value]]]


def sums_of(strata: Strata, *, groups: int = 8, is_clustered: bool = True, is_paired: bool = False) -> GroupSums:
    arrays = [np.zeros((1, len(strata), 2, 1, groups if is_clustered else 1)) for _ in range(4)]
    for place, stratum in enumerate(strata):
        for arm, values in enumerate(stratum):
            for value, group in values:
                for power, array in enumerate(arrays):
                    array[0, place, arm, 0, group if is_clustered else 0] += value**power
    n, total, squares, cubes = arrays
    return GroupSums(n=n, total=total, squares=squares, cubes=cubes, is_clustered=is_clustered, is_paired=is_paired)


def drawn(rng: np.random.Generator, n: int, rate: float, groups: int = 8) -> list[Value]:
    return list(zip((rng.random(n) < rate).astype(float).tolist(), rng.integers(0, groups, n).tolist(), strict=True))


def number(array: NDArray[np.float64], *at: int) -> float:
    return float(array[at])


def test_arms_are_averaged_over_one_mix() -> None:
    # An easy and a hard cohort; the candidate got mostly the hard one, and is no different in either.
    easy = [(0.0, 0)] * 70 + [(1.0, 0)] * 0, [(0.0, 0)] * 30
    hard = [(1.0, 0)] * 15 + [(0.0, 0)] * 15, [(1.0, 0)] * 35 + [(0.0, 0)] * 35

    means = standardise(sums_of([easy, hard], is_clustered=False))

    assert means.mean[:, 0, 0].tolist() == [0.25, 0.25]
    assert means.crude[:, 0, 0].tolist() == [0.15, 0.35]
    assert number(means.mix, 0, 0) == pytest.approx(0.2)


def test_a_stratum_of_one_arm_has_no_weight() -> None:
    both = [(1.0, 0), (3.0, 0)], [(2.0, 0), (4.0, 0)]
    alone: tuple[list[Value], list[Value]] = ([(100.0, 0)] * 5, [])

    means = standardise(sums_of([both, alone], is_clustered=False))

    assert means.mean[:, 0, 0].tolist() == [2.0, 3.0]
    assert stratum_weights(sums_of([both, alone]).n.sum(axis=-1))[0, :, 0, 0].tolist() == [1.0, 0.0]


def test_variance_of_independent_values_is_that_of_the_mean() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    stratum = [(value, 0) for value in values], [(value, 0) for value in values[:3]]

    means = standardise(sums_of([stratum], is_clustered=False))

    assert number(means.variance, 0, 0, 0) == pytest.approx(np.var(values, ddof=1) / 4)
    assert number(means.variance, 1, 0, 0) == pytest.approx(np.var(values[:3], ddof=1) / 3)
    assert number(means.freedom, 0, 0, 0) == 3


def reference_variance(strata: Strata, arm: int, groups: int) -> float:
    """Variance of a standardised mean over cluster groups, value by value."""
    pooled = [len(stratum[0]) + len(stratum[1]) if all(stratum) else 0 for stratum in strata]
    influence = dict.fromkeys(range(groups), 0.0)
    seen = set()
    for weight, stratum in zip(pooled, strata, strict=True):
        values = stratum[arm]
        seen |= {group for _, group in values}
        if not weight:
            continue
        mean = sum(value for value, _ in values) / len(values)
        for value, group in values:
            influence[group] += weight / sum(pooled) * (value - mean) / len(values)
    centre = sum(influence[group] for group in seen) / len(seen)
    return len(seen) / (len(seen) - 1) * sum((influence[group] - centre) ** 2 for group in seen)


@pytest.mark.parametrize("seed", range(5))
def test_clustered_variance_is_that_of_the_groups_influences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole groups fail together, so that the groups' variance exceeds that of independent values.
    strata = [
        tuple([(float(group % 2), group) for _, group in drawn(rng, n, 0.3)] for n in sizes)
        for sizes in ((60, 40), (30, 80))
    ]

    means = standardise(sums_of(strata))  # type: ignore[arg-type]  # pairs, made by a comprehension

    for arm in (0, 1):
        expected = reference_variance(strata, arm, 8)  # type: ignore[arg-type]  # as above
        assert number(means.variance, arm, 0, 0) == pytest.approx(expected, rel=1e-9)
    assert number(means.rate_traces, 0, 0, 0) < 90 / 3


def test_clusters_never_narrow() -> None:
    rng = np.random.default_rng(9)

    for _ in range(20):
        strata = [(drawn(rng, 50, 0.4), drawn(rng, 50, 0.4))]
        clustered, independent = (standardise(sums_of(strata, is_clustered=flag)) for flag in (True, False))
        assert (clustered.variance >= independent.variance - 1e-15).all()


def judged(rng: np.random.Generator, rates: NDArray[np.float64]) -> list[Value]:
    return [(float(rng.random() < rates[g]), g) for g in rng.integers(0, 128, 4000).tolist()]


def test_shared_clusters_correlate_the_arms() -> None:
    rng = np.random.default_rng(10)
    rates = rng.beta(0.5, 0.5, 128)
    arms = (judged(rng, rates), judged(rng, rates))

    paired, apart = (standardise(sums_of([arms], groups=128, is_paired=flag)) for flag in (True, False))

    assert number(paired.correlation, 0, 0) > 0.8
    assert number(apart.correlation, 0, 0) == 0.0


def test_a_mix_that_differs_without_mattering_is_no_mix_effect() -> None:
    rng = np.random.default_rng(11)
    z = []
    for _ in range(300):
        strata = [(drawn(rng, 70, 0.2), drawn(rng, 30, 0.2)), (drawn(rng, 30, 0.2), drawn(rng, 70, 0.2))]
        means = standardise(sums_of(strata, is_clustered=False))
        z.append(number(means.mix, 0, 0) / number(means.mix_error, 0, 0))

    assert np.std(z) == pytest.approx(1.0, abs=0.15)


VALUES = st.lists(st.tuples(st.floats(0, 1e9), st.integers(0, 7)), max_size=6)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_anything_gives_finite_counts_and_no_error(strata: Strata, is_clustered: bool, is_paired: bool) -> None:
    means = standardise(sums_of(strata, is_clustered=is_clustered, is_paired=is_paired))

    assert np.isfinite(means.n).all()
    assert np.isfinite(means.rate_traces).all()
    assert (means.correlation >= 0).all()
    assert is_defined(means) == any(all(stratum) for stratum in strata)


def is_defined(means: ArmMeans) -> bool:
    return all(math.isfinite(number(means.mean, arm, 0, 0)) for arm in (0, 1))
