"""Sums by cluster group, and the means that both arms would have had over one mix of cohorts and periods.

Theory of operation. A stratum is a cohort in a period of constant traffic split. Within a stratum the arms saw the same
kind of traffic, across strata they need not have: so the arms' means are compared within each and averaged with one set
of weights, the strata's shares of all traces. Values of one user are alike, so that variances are taken over groups of
whole clusters (users, conversations, pairs): each group's influence on the mean is one observation. Where the same
clusters are in both arms, the influences of a group in both are paired.

Sources: Miratrix, Sekhon and Yu, J. R. Stat. Soc. B 75 (2013) 369-396 (post-stratification); Deng, Knoblich and Lu, KDD
2018, section 3 (delta method for clustered means).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from tracecanary.analytics.statistics.arrays import divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracecanary.analytics.statistics.arrays import Floats

GROUPS = 128
# A variance over fewer groups is too uncertain to decide on.
MIN_GROUPS = 20
# Arrays of `ArmMeans` that have no axis of arms before that of cells.
_WITHOUT_ARMS = frozenset({"covariance", "mix", "mix_error"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupSums:
    """Sums of values by stratum, arm and cluster group.

    Args:
        n: Number of values, shape (cells, strata, 2, metrics, groups); axis 2 is the arm: base, candidate.
        total: Their sum, as all others of the same shape.
        squares: Sum of squares. Of it and of the cubes no group is looked at: their last axis may have length 1.
        cubes: Sum of third powers.
        is_clustered: Whether groups hold clusters of several traces. If not, there is one group, and values count as
            independent.
        is_paired: Whether the same clusters are in both arms.
    """

    n: Floats
    total: Floats
    squares: Floats
    cubes: Floats
    is_clustered: bool = False
    is_paired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmMeans:
    """Means of both arms over the same mix of strata. Arrays of shape (2, cells, metrics) unless said otherwise.

    Args:
        mean: Standardised means; NaN where no stratum has both arms.
        crude: Means of all values, whatever their stratum.
        n: Number of values.
        variance: Of `mean`, clusters taken into account.
        independent_variance: Of `mean`, were all values independent.
        third_moment: Third central moment of `mean`, were all values independent.
        rate_traces: Effective number of traces behind `mean` if the values are 0 or 1.
        traces: Effective number of traces behind `mean` otherwise.
        freedom: Degrees of freedom of `variance`.
        covariance: Of the two arms' `mean`, shape (cells, metrics).
        groups: Groups that hold values.
        largest_group: Share of an arm's values in its largest group, 0..1.
        mix: Crude minus standardised difference of the arms, shape (cells, metrics): what the mix alone makes.
        mix_error: Its standard error.
    """

    mean: Floats
    crude: Floats
    n: Floats
    variance: Floats
    independent_variance: Floats
    third_moment: Floats
    rate_traces: Floats
    traces: Floats
    freedom: Floats
    covariance: Floats
    groups: Floats
    largest_group: Floats
    mix: Floats
    mix_error: Floats

    def of_cells(self, places: NDArray[np.intp] | Sequence[int]) -> ArmMeans:
        """Return the cells at `places` alone."""
        return ArmMeans(
            **{
                item.name: found[places] if item.name in _WITHOUT_ARMS else found[:, places]
                for item in fields(self)
                for found in [getattr(self, item.name)]
            }
        )

    @property
    def correlation(self) -> Floats:
        """Correlation of the arms' means, 0..1; a negative one is taken for chance."""
        scale = np.sqrt(self.variance.prod(axis=0))
        return np.clip(np.nan_to_num(divide(self.covariance, scale)), 0.0, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Strata:
    """What each stratum has, without groups: shape (cells, strata, 2, metrics)."""

    n: Floats
    total: Floats
    mean: Floats
    squared_deviations: Floats
    cubed_deviations: Floats
    weight: Floats  # (cells, strata, 1, metrics)


def standardise(sums: GroupSums) -> ArmMeans:
    """Average the strata's means with one set of weights for both arms."""
    strata = _strata(sums)
    w = strata.weight
    n = strata.n.sum(axis=1)
    with np.errstate(all="ignore"):
        mean = np.where(w.sum(axis=1) > 0, np.nansum(w * strata.mean, axis=1), np.nan)
        crude = divide(strata.total.sum(axis=1), n)
        one_variance = _variance_of_one(strata)
        independent = _summed(w**2 * one_variance / strata.n)
        third = _summed(w**3 * strata.cubed_deviations / strata.n**3)
        rate_traces = _rate_traces(strata, mean, n)
        mix, mix_square = _mix(strata, mean, crude, one_variance)
    deff = np.ones_like(mean)
    covariance = np.zeros(mean.shape[:1] + mean.shape[2:])
    groups, largest = n, np.zeros_like(n)
    if sums.is_clustered:
        grouped = _grouped(sums, strata, crude)
        # Below 1 is chance, or strata of one trace, whose group has no influence of its own.
        deff = np.nan_to_num(np.maximum(divide(grouped.variance, independent), 1.0), nan=1.0)
        groups, largest = grouped.groups, grouped.largest
        mix_square = np.maximum(mix_square, grouped.mix_variance)
        if sums.is_paired:
            covariance = grouped.covariance
    variance = independent * deff
    arms_first = [np.moveaxis(values, 1, 0) for values in (mean, crude, n, variance, independent, third)]
    return ArmMeans(
        mean=arms_first[0],
        crude=arms_first[1],
        n=arms_first[2],
        variance=arms_first[3],
        independent_variance=arms_first[4],
        third_moment=arms_first[5],
        rate_traces=np.moveaxis(rate_traces / deff, 1, 0),
        traces=np.moveaxis(n / deff, 1, 0),
        freedom=np.moveaxis(np.maximum(groups - 1, 0.0), 1, 0),
        covariance=covariance,
        groups=np.moveaxis(groups, 1, 0),
        largest_group=np.moveaxis(largest, 1, 0),
        mix=mix,
        mix_error=np.sqrt(mix_square),
    )


def stratum_weights(n: Floats) -> Floats:
    """Return the weight of each stratum: its share of the traces in strata that both arms have.

    Args:
        n: Traces, shape (cells, strata, 2, ...).

    Returns:
        Shares of shape (cells, strata, 1, ...) that add up to 1 over the strata, or are all 0.
    """
    pooled = np.where((n > 0).all(axis=2, keepdims=True), n.sum(axis=2, keepdims=True), 0.0)
    return np.nan_to_num(divide(pooled, np.broadcast_to(pooled.sum(axis=1, keepdims=True), pooled.shape)))


def _strata(sums: GroupSums) -> _Strata:
    n, total, squares, cubes = (values.sum(axis=-1) for values in (sums.n, sums.total, sums.squares, sums.cubes))
    mean = divide(total, n)
    with np.errstate(invalid="ignore", over="ignore"):
        deviations = squares - total * mean
        # What the rounding of running sums can make on its own counts as no variance.
        deviations = np.where(deviations > 2 * n * np.finfo(float).eps * squares, deviations, 0.0)
        cubed = cubes - 3 * mean * squares + 3 * mean**2 * total - n * mean**3
    return _Strata(
        n=n,
        total=total,
        mean=mean,
        squared_deviations=deviations,
        cubed_deviations=np.where(deviations > 0, cubed, 0.0),
        weight=stratum_weights(n),
    )


def _summed(values: Floats) -> Floats:
    """Add up strata; those without values add nothing."""
    total: Floats = np.nansum(np.where(np.isfinite(values), values, 0.0), axis=1)
    return total


def _variance_of_one(strata: _Strata) -> Floats:
    """Return the variance of one value in each stratum; a stratum of one value borrows that of all."""
    freedom = np.maximum(strata.n - 1, 0.0)
    pooled = divide(strata.squared_deviations.sum(axis=1), freedom.sum(axis=1))[:, None]
    return np.where(freedom > 0, divide(strata.squared_deviations, freedom), pooled)


def _rate_traces(strata: _Strata, mean: Floats, n: Floats) -> Floats:
    """Return how many independent traces of one stratum would tell a standardised rate as well.

    Rates are pulled a little towards the rate of all strata, so that a stratum without hits is not free of variance.
    """
    centre = (strata.total.sum(axis=1) + 0.5) / (n + 1)
    pulled = (strata.total + centre[:, None]) / (strata.n + 1)
    variance = _summed(strata.weight**2 * pulled * (1 - pulled) / strata.n)
    rate = _summed(strata.weight * pulled)
    # Weights that follow the traces gain a little over pooling; that gain is left aside.
    traces = np.minimum(n, divide(rate * (1 - rate), variance))
    return np.where(np.isfinite(mean), np.nan_to_num(traces), 0.0)


def _mix(strata: _Strata, mean: Floats, crude: Floats, one_variance: Floats) -> tuple[Floats, Floats]:
    """Return what the mix alone makes of the difference, and its variance with independent values."""
    total = strata.n.sum(axis=1, keepdims=True)
    share, weight = divide(strata.n, np.broadcast_to(total, strata.n.shape)), strata.weight
    mix = (crude - mean)[:, 1] - (crude - mean)[:, 0]
    # Influence of one value x: (x - crude) / n - w (x - m) / n_stratum; its part within and between strata.
    within = _summed((share - weight) ** 2 * one_variance / strata.n)
    between = _summed(strata.n * ((strata.mean - crude[:, None]) / total) ** 2)
    return mix, (within + between).sum(axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grouped:
    variance: Floats
    covariance: Floats
    mix_variance: Floats
    groups: Floats
    largest: Floats


def _grouped(sums: GroupSums, strata: _Strata, crude: Floats) -> _Grouped:
    """Take variances over groups: each group's influence on the mean is one observation."""
    n = strata.n.sum(axis=1)
    scale = np.nan_to_num(divide(strata.weight, strata.n))
    in_group, group_total = sums.n.sum(axis=1), sums.total.sum(axis=1)
    # A group's influence: w (total - mean n) / n over the strata, and (total - crude n) / n without regard to them.
    influence = _over_strata(scale, sums.total) - _over_strata(scale * np.nan_to_num(strata.mean), sums.n)
    crude_influence = group_total - np.nan_to_num(crude)[..., None] * in_group
    crude_influence *= np.nan_to_num(divide(np.ones_like(n), n))[..., None]
    has_values = in_group > 0
    groups = has_values.sum(axis=-1).astype(np.float64)
    mix = crude_influence - influence
    return _Grouped(
        variance=_sum_of_products(influence, influence, groups),
        covariance=_sum_of_products(
            influence[:, 0], influence[:, 1], has_values.any(axis=1).sum(axis=-1).astype(np.float64)
        ),
        mix_variance=_sum_of_products(mix, mix, groups).sum(axis=1),
        groups=groups,
        largest=np.nan_to_num(divide(in_group.max(axis=-1), n)),
    )


def _over_strata(factor: Floats, values: Floats) -> Floats:
    """Add up `values`, shape (cells, strata, 2, metrics, groups), over the strata, each times its factor."""
    if values.shape[1] == 1:
        return factor[:, 0, ..., None] * values[:, 0]
    total: Floats = np.einsum("csam,csamg->camg", factor, values)
    return total


def _sum_of_products(one: Floats, other: Floats, number: Floats) -> Floats:
    """Return G / (G - 1) times the sum of products about their means, over the `number` of groups that have values.

    Groups without values have no influence, and add nothing.
    """
    products = np.einsum("...g,...g->...", one, other)
    about_means = products - divide(one.sum(axis=-1) * other.sum(axis=-1), number)
    return np.where(number > 1, number / np.maximum(number - 1, 1.0) * about_means, 0.0)
