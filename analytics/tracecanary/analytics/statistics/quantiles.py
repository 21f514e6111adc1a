"""Quantiles over traces, from histograms. The effect is a ratio, and no distribution is assumed."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize.elementwise import find_root

from tracecanary.analytics.statistics.arrays import Bounds, mover
from tracecanary.analytics.statistics.means import exponentials
from tracecanary.analytics.statistics.rates import log_mixture_e_value

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Floats
    from tracecanary.analytics.statistics.clock import Look
    from tracecanary.analytics.statistics.histograms import Histograms

_MOST_TRACES = 10**9


def log_quantile_bounds(histograms: Histograms, p: float, traces: Floats, look: Look) -> Bounds:
    """Compute the interval of the p-quantile of each histogram, on natural logarithms.

    Args:
        histograms: The values, shape (..., buckets).
        p: The quantile as a fraction in (0, 1), 0.95 for p95.
        traces: Effective number of traces behind each histogram, at most its own.
        look: How the data is read.

    Returns:
        Logarithms; a side that the sample is too small to bound is infinite, never the largest value.

    Raises:
        ValueError: `p` lies outside (0, 1).

    Source: Conover, Practical Nonparametric Statistics, 3rd ed. (1999), section 3.2, for a single look; Howard and
    Ramdas, Bernoulli 28 (2022) 1704-1728, for any time.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}. Pass a fraction between 0 and 1, 0.95 for the 95th percentile.")
    total = histograms.n
    traces = np.minimum(np.asarray(traces, dtype=np.float64), total)
    low, high = bound_ranks(np.where(traces > 0, traces, 1.0), p, look)
    factor = np.where(traces > 0, total / np.where(traces > 0, traces, 1.0), 1.0)
    # Definition 7 of Hyndman and Fan, The American Statistician 50 (1996) 361-365.
    estimate = 1 + (total - 1) * p
    found = histograms.log_value(np.stack([estimate, low * factor, high * factor], axis=-1))
    is_known = traces > 0
    value = np.where(is_known, found[..., 0], np.nan)
    low_value = np.where(low >= 1, found[..., 1], -np.inf)
    high_value = np.where(high <= traces, found[..., 2], np.inf)
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


def bound_ranks(traces: Floats, p: float, look: Look) -> tuple[Floats, Floats]:
    """Return the ranks of the bounds, 1 for the smallest; one below 1 or above the number of traces is unbounded."""
    if look.planned is None:
        reach = look.z * np.sqrt(traces * p * (1 - p))
        low = np.ceil(traces * p - reach)
        high = traces + 1 - np.ceil(traces * (1 - p) - reach)  # mirrored, so that p near 1 keeps its digits
    else:
        below, above = _count_band(traces, p, look)
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


def _count_band(traces: Floats, p: float, look: Look) -> tuple[Floats, Floats]:
    """Return the smallest and largest number of values at or below the quantile that the clock does not reject."""
    rate = np.full_like(traces, p)
    prior, threshold = look.prior_traces, look.threshold

    def excess(hits: Floats, traces: Floats, rate: Floats) -> Floats:
        return log_mixture_e_value(rate, hits, traces - hits, prior) - threshold

    centre, ends = traces * p, (np.zeros_like(traces), traces)
    sides = []
    for end, unbounded in zip(ends, (0.0, math.inf), strict=True):
        is_bounded = excess(end, traces, rate) > 0
        side = np.full_like(traces, unbounded)
        chosen = np.flatnonzero(is_bounded)
        if chosen.size:
            bracket = (end.ravel()[chosen], centre.ravel()[chosen])
            found = find_root(excess, bracket, args=(traces.ravel()[chosen], rate.ravel()[chosen]))
            side.ravel()[chosen] = np.where(found.success, found.x, unbounded)
        sides.append(side)
    return sides[0], sides[1]
