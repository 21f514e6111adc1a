"""Histograms of both arms over one mix of strata, and how much a quantile varies from cluster to cluster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tracecanary.analytics.statistics.arrays import divide
from tracecanary.analytics.statistics.standardise import stratum_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracecanary.analytics.statistics.arrays import Floats
    from tracecanary.analytics.statistics.histograms import Histograms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixedHistograms:
    """Histograms of the arms. Arrays of shape (cells, 2) unless said otherwise.

    Args:
        mixed: Over one mix of strata, shape (cells, 2, buckets), scaled to `n` values.
        crude: Of all values, whatever their stratum.
        n: Number of values.
        traces: Effective number of traces behind `mixed`, clusters left aside.
        weight: Of each stratum, shape (cells, strata).
    """

    mixed: Histograms
    crude: Histograms
    n: Floats
    traces: Floats
    weight: Floats

    def of_cells(self, places: NDArray[np.intp] | Sequence[int]) -> MixedHistograms:
        """Return the cells at `places` alone."""
        return MixedHistograms(
            mixed=dataclasses.replace(self.mixed, counts=self.mixed.counts[places]),
            crude=dataclasses.replace(self.crude, counts=self.crude.counts[places]),
            n=self.n[places],
            traces=self.traces[places],
            weight=self.weight[places],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupCounts:
    """Values at or below the end of each bucket by cluster group: cumulated coarse histograms.

    Args:
        cumulative: Shape (cells, strata, 2, groups, buckets).
        first: Number of the bucket in column 1.
        scale: Buckets for each doubling, as a power of 2.
    """

    cumulative: Floats
    first: int
    scale: int

    @classmethod
    def of(cls, histograms: Histograms) -> GroupCounts:
        """Cumulate histograms by cluster group."""
        return cls(cumulative=np.cumsum(histograms.counts, axis=-1), first=histograms.first, scale=histograms.scale)

    @property
    def n(self) -> Floats:
        """Values of each group, shape (cells, strata, 2, groups)."""
        return self.cumulative[..., -1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterEffect:
    """What clusters do: design effects (cells, 2, quantiles), and the arms' correlations (cells, quantiles)."""

    design_effect: Floats
    correlation: Floats


def mix_histograms(histograms: Histograms) -> MixedHistograms:
    """Weight the strata's histograms alike in both arms.

    Args:
        histograms: Shape (cells, strata, 2, buckets).
    """
    n = histograms.counts.sum(axis=-1)
    weight = stratum_weights(n)[:, :, 0]
    total = n.sum(axis=1)
    shares = np.nan_to_num(divide(weight[:, :, None], n))
    mixed = total[..., None] * (shares[..., None] * histograms.counts).sum(axis=1)
    spread = np.where(weight[:, :, None] > 0, np.nan_to_num(divide(weight[:, :, None] ** 2, n)), 0.0).sum(axis=1)
    traces = np.minimum(total, np.nan_to_num(divide(np.ones_like(spread), spread)))
    return MixedHistograms(
        mixed=dataclasses.replace(histograms, counts=mixed),
        crude=dataclasses.replace(histograms, counts=histograms.counts.sum(axis=1)),
        n=total,
        traces=traces,
        weight=weight,
    )


def cluster_effect(
    groups: GroupCounts, mixed: MixedHistograms, log_values: Floats, *, is_paired: bool
) -> ClusterEffect:
    """Measure how much more the share of values below quantiles varies than it would without clusters.

    Args:
        groups: Values by cluster group.
        mixed: The same values' histograms.
        log_values: Natural logarithms of the quantiles of each arm, shape (cells, 2, quantiles).
        is_paired: Whether the same clusters are in both arms.

    Source: Deng, Knoblich and Lu, KDD 2018, section 4 (quantiles under clustered assignment).
    """
    columns = groups.cumulative.shape[-1]
    positions = np.nan_to_num(log_values / np.log(2), neginf=0.0) * 2**groups.scale - groups.first
    below = np.clip(np.floor(positions), 0, columns - 1)
    part = np.clip(positions - below, 0.0, 1.0)
    # Between two ends of buckets: exact shares at both, and the design effects in between.
    ends = np.concatenate([below, np.minimum(below + 1, columns - 1)], axis=-1)
    effects, shared = _at_ends(_at_columns(groups.cumulative, ends), groups.n, mixed)
    (low, high), (low_shared, high_shared) = (np.split(values, 2, axis=-1) for values in (effects, shared))
    middle = part.mean(axis=1)
    correlation = np.clip((1 - middle) * low_shared + middle * high_shared, 0.0, 0.999)
    return ClusterEffect(
        design_effect=np.maximum((1 - part) * low + part * high, 1.0),
        correlation=correlation if is_paired else np.zeros_like(correlation),
    )


def _at_columns(cumulative: Floats, columns: Floats) -> Floats:
    """Return values up to columns' ends by group, shape (cells, strata, 2, columns, groups)."""
    cells, strata, arms, groups, width = cumulative.shape
    # Each cell and arm has columns of its own; a flat place for each is cheaper than an index of all axes.
    place = columns.astype(np.intp)[:, None, :, :, None] + width * np.arange(groups)
    row = (np.arange(cells * strata * arms) * (groups * width)).reshape(cells, strata, arms, 1, 1)
    found: Floats = cumulative.ravel()[row + place]
    return found


def _at_ends(hits: Floats, n: Floats, mixed: MixedHistograms) -> tuple[Floats, Floats]:
    """Return design effects, shape (cells, 2, columns), and correlations, shape (cells, columns)."""
    in_stratum = n.sum(axis=-1)[..., None]
    share = np.nan_to_num(divide(hits.sum(axis=-1), in_stratum))
    scale = np.nan_to_num(divide(mixed.weight[:, :, None, None], in_stratum))
    deviations = hits - share[..., None] * n[..., None, :]
    influence = np.einsum("csae,csaeg->caeg", np.broadcast_to(scale, share.shape), deviations)
    groups = (n.sum(axis=1) > 0).sum(axis=-1)
    factor = np.where(groups > 1, groups / np.maximum(groups - 1, 1), 0.0)
    variance = factor[..., None] * np.einsum("caeg,caeg->cae", influence, influence)
    overall = (mixed.weight[:, :, None, None] * share).sum(axis=1)
    independent = divide(overall * (1 - overall), mixed.traces[..., None])
    effect = np.nan_to_num(divide(variance, independent), nan=1.0, posinf=1.0)
    products = np.einsum("ceg,ceg->ce", influence[:, 0], influence[:, 1])
    covariance = factor.min(axis=1)[..., None] * products
    correlation = np.nan_to_num(divide(covariance, np.sqrt(variance.prod(axis=1))))
    return np.maximum(effect, 1.0), correlation
