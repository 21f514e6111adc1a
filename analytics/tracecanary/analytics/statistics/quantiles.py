"""Quantiles over traces, from histograms. The effect is a ratio, and no distribution is assumed."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import psi

from tracecanary.analytics.statistics.arrays import Bounds, mover
from tracecanary.analytics.statistics.means import exponentials
from tracecanary.analytics.statistics.rates import log_mixture_e_value
from tracecanary.analytics.statistics.roots import roots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracecanary.analytics.statistics.arrays import Floats
    from tracecanary.analytics.statistics.clock import Look
    from tracecanary.analytics.statistics.histograms import Histograms

_MOST_TRACES = 10**9


def log_quantile_bounds(histograms: Histograms, quantiles: Sequence[float], traces: Floats, look: Look) -> Bounds:
    """Compute the intervals of quantiles of each histogram, on natural logarithms.

    Args:
        histograms: The values, shape (..., buckets).
        quantiles: Fractions in (0, 1), 0.95 for p95.
        traces: Effective number of traces behind each, at most its own, shape (..., quantiles).
        look: How the data is read.

    Returns:
        Logarithms of shape (..., quantiles). A side that the sample is too small to bound is infinite, never the
        largest value.

    Raises:
        ValueError: A quantile lies outside (0, 1).

    Source: Conover, Practical Nonparametric Statistics, 3rd ed. (1999), section 3.2, for a single look; Howard and
    Ramdas, Bernoulli 28 (2022) 1704-1728, for any time.
    """
    if not all(0 < p < 1 for p in quantiles):
        raise ValueError(f"quantiles are {quantiles}. Pass fractions between 0 and 1, 0.95 for the 95th percentile.")
    p = np.asarray(quantiles, dtype=np.float64)
    total = histograms.n[..., None]
    traces = np.minimum(np.asarray(traces, dtype=np.float64), total)
    is_known = traces > 0
    low, high = bound_ranks(np.where(is_known, traces, 1.0), p, look)
    factor = np.where(is_known, total / np.where(is_known, traces, 1.0), 1.0)
    # Definition 7 of Hyndman and Fan, The American Statistician 50 (1996) 361-365.
    estimate = 1 + (total - 1) * p
    found = histograms.log_value(np.concatenate([estimate, low * factor, high * factor], axis=-1))
    value, low_value, high_value = np.split(found, 3, axis=-1)
    value = np.where(is_known, value, np.nan)
    low_value = np.where(low >= 1, low_value, -np.inf)
    high_value = np.where(high <= traces, high_value, np.inf)
    return Bounds(
        value=value,
        low=np.where(is_known, np.minimum(low_value, value), np.nan),
        high=np.where(is_known, np.maximum(high_value, value), np.nan),
    )


def quantile_ratios(base: Bounds, candidate: Bounds, *, correlation: Floats | float = 0.0) -> Bounds:
    """Compare quantiles: candidate over base, with MOVER of the arms' intervals on logarithms.

    Source: Zou and Donner, Stat. Med. 27 (2008) 1693-1702, equation 3, on logarithms.
    """
    with np.errstate(invalid="ignore"):
        found = mover(base, candidate, correlation=correlation)
        # A quantile of 0 has no logarithm, and a bound that is 0 none either.
        undefined = ~np.isfinite(base.value) | ~np.isfinite(candidate.value)
        value = np.where(undefined, np.nan, found.value)
        low = np.where(undefined, np.nan, found.low)
        high = np.where(undefined, np.nan, found.high)
    ratios = exponentials(Bounds(value=value, low=low, high=high))
    return Bounds(value=ratios.value, low=np.where(np.isneginf(low), -np.inf, ratios.low), high=ratios.high)


def bound_ranks(traces: Floats, p: Floats | float, look: Look) -> tuple[Floats, Floats]:
    """Return the ranks of the bounds, 1 for the smallest; one below 1 or above the number of traces is unbounded."""
    if look.planned is None:
        reach = look.z * np.sqrt(traces * p * (1 - p))
        low = np.ceil(traces * p - reach)
        high = traces + 1 - np.ceil(traces * (1 - p) - reach)  # mirrored, so that p near 1 keeps its digits
    else:
        counts, shares = np.broadcast_arrays(traces, np.asarray(p, dtype=np.float64))
        below, above = _count_band(counts, shares, look)
        low, high = np.ceil(below), np.floor(above) + 1
    # The estimate lies between two ranks. In a tail with less than one trace beyond it the bounds can leave it outside.
    position = (traces - 1) * p
    return np.minimum(low, np.floor(position) + 1), np.maximum(high, np.ceil(position) + 1)


@lru_cache(maxsize=256)
def traces_for_bounded_quantile(p: float, look: Look) -> int:
    """Return the smallest number of traces in an arm whose interval for the p-quantile has both sides.

    381 for p99 and 73 for p95 in a single look at a confidence of 0.95.
    """

    def is_bounded(traces: int) -> bool:
        low, high = bound_ranks(np.array([float(traces)]), p, look)
        return bool(low[0] >= 1 and high[0] <= traces)

    few, enough = 0, 1
    while not is_bounded(enough):
        few, enough = enough, enough * 2
        if enough > _MOST_TRACES:
            raise ValueError(f"p is {p}. No number of traces bounds it; pass a quantile further from 0 and 1.")
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if is_bounded(middle) else (middle, enough)
    return enough


def _count_band(traces: Floats, p: Floats, look: Look) -> tuple[Floats, Floats]:
    """Return the smallest and largest number of values at or below the quantile that the clock does not reject."""
    prior, threshold = look.prior_traces, look.threshold
    # Both sides in one go: the largest number is counted from above, as the smallest of the values beyond.
    n, rate = np.concatenate([traces.ravel()] * 2), np.concatenate([p.ravel(), 1 - p.ravel()])
    is_bounded = log_mixture_e_value(rate, np.zeros_like(n), n, prior) > threshold
    count = np.zeros_like(n)
    chosen = np.flatnonzero(is_bounded)
    rate, n = rate[chosen], n[chosen]

    def value_and_slope(hits: Floats) -> tuple[Floats, Floats]:
        value = log_mixture_e_value(rate, hits, n - hits, prior) - threshold
        slope = psi(prior * rate + hits) - psi(prior * (1 - rate) + n - hits) - np.log(rate) + np.log1p(-rate)
        return value, slope

    ratio = n / (prior + 1)
    reach = np.sqrt((1 + 1 / ratio) * (np.log1p(ratio) + 2 * threshold) * n * rate * (1 - rate))
    count[chosen] = roots(value_and_slope, n * rate, np.zeros_like(n), n * rate - reach)
    below, beyond = (side.reshape(traces.shape) for side in np.split(np.where(is_bounded, count, -1.0), 2))
    return np.where(below < 0, 0.0, below), np.where(beyond < 0, math.inf, traces - beyond)
