"""Histograms of both arms over one mix of strata, and how much a quantile varies from cluster to cluster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tracecanary.analytics.statistics.arrays import divide
from tracecanary.analytics.statistics.standardise import stratum_weights

if TYPE_CHECKING:
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


def cluster_effect(groups: Histograms, mixed: MixedHistograms, log_values: Floats, *, is_paired: bool) -> ClusterEffect:
    """Measure how much more the share of values below quantiles varies than it would without clusters.

    Args:
        groups: Coarse histograms by cluster group, shape (cells, strata, 2, groups, buckets).
        mixed: The same values' histograms.
        log_values: Natural logarithms of the quantiles of each arm, shape (cells, 2, quantiles).
        is_paired: Whether the same clusters are in both arms.

    Source: Deng, Knoblich and Lu, KDD 2018, section 4 (quantiles under clustered assignment).
    """
    columns = groups.counts.shape[-1]
    cumulative = np.cumsum(groups.counts, axis=-1)
    n = cumulative[..., -1]
    positions = np.nan_to_num(log_values / np.log(2), neginf=0.0) * 2**groups.scale - groups.first
    designs, correlations = [], []
    for position in np.moveaxis(positions, -1, 0):
        below = np.clip(np.floor(position), 0, columns - 1)
        part = np.clip(position - below, 0.0, 1.0)
        # Between two ends of buckets: exact shares at both, and the design effects in between.
        ends = [_at_column(cumulative, np.clip(below + step, 0, columns - 1)) for step in (0, 1)]
        (low, low_shared), (high, high_shared) = (_at_end(end, n, mixed) for end in ends)
        middle = part.mean(axis=1)
        designs.append(np.maximum((1 - part) * low + part * high, 1.0))
        correlations.append(np.clip((1 - middle) * low_shared + middle * high_shared, 0.0, 0.999))
    shared = np.stack(correlations, axis=-1)
    return ClusterEffect(
        design_effect=np.stack(designs, axis=-1), correlation=shared if is_paired else np.zeros_like(shared)
    )


def _at_column(cumulative: Floats, column: Floats) -> Floats:
    """Return values up to a column's end by group, shape (cells, strata, 2, groups)."""
    index = np.broadcast_to(column.astype(np.intp)[:, None, :, None, None], (*cumulative.shape[:-1], 1))
    return np.take_along_axis(cumulative, index, axis=-1)[..., 0]


def _at_end(hits: Floats, n: Floats, mixed: MixedHistograms) -> tuple[Floats, Floats]:
    in_stratum = n.sum(axis=-1)
    share = np.nan_to_num(divide(hits.sum(axis=-1), in_stratum))
    scale = np.nan_to_num(divide(np.broadcast_to(mixed.weight[:, :, None], in_stratum.shape), in_stratum))
    influence = (scale[..., None] * (hits - share[..., None] * n)).sum(axis=1)
    counted = n.sum(axis=1) > 0
    groups = counted.sum(axis=-1)
    factor = np.where(groups > 1, groups / np.maximum(groups - 1, 1), 0.0)
    variance = factor * (influence**2).sum(axis=-1)
    overall = (mixed.weight[:, :, None] * share).sum(axis=1)
    independent = divide(overall * (1 - overall), mixed.traces)
    effect = np.nan_to_num(divide(variance, independent), nan=1.0, posinf=1.0)
    covariance = factor.min(axis=1) * (influence[:, 0] * influence[:, 1]).sum(axis=-1)
    correlation = np.nan_to_num(divide(covariance, np.sqrt(variance.prod(axis=1))))
    return np.maximum(effect, 1.0), correlation
