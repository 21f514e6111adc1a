"""Quantiles over traces: latency at p50, p95, p99. The effect is a ratio; no shape of distribution is assumed.

An interval for a quantile runs from one order statistic to another. Which ones follows from how many values may lie
at or below the quantile. A tail quantile of a small sample has none above it: that side is unbounded, which is
reported as None. The largest value seen would look like a bound and be none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tracecanary.analytics.statistics.intervals import (
    UNKNOWN,
    ArmEstimate,
    Effect,
    Interval,
    mover_reach,
    normal_critical,
    positive_ratio,
    ratio_effect,
)

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.samples import Ordered


def quantile_interval(sample: Ordered, p: float, *, confidence: float) -> Interval:
    """Compute a two-sided interval for the p-quantile from order statistics.

    Args:
        sample: The values of an arm's traces.
        p: The quantile as a fraction in (0, 1), 0.95 for p95.
        confidence: Coverage as a fraction in (0, 1), not a percentage.

    Returns:
        Bounds in the values' unit, each one of the values; None for a side that the sample is too small to bound.

    Raises:
        ValueError: `p` or `confidence` lies outside (0, 1).

    Source: Conover, Practical Nonparametric Statistics, 3rd ed. (1999), section 3.2 (normal approximation).
    """
    low, high = _bound_ranks(sample.n, p, confidence=confidence)
    return Interval(low=sample.at_rank(low), high=sample.at_rank(high))


def quantile_ratio(base: Ordered, candidate: Ordered, p: float, *, confidence: float) -> Effect:
    """Compare two quantiles: candidate over base, with MOVER of the arms' intervals on logarithms.

    Args:
        base: The values of the base's traces.
        candidate: The values of the candidate's traces, in the same unit.
        p: The quantile as a fraction in (0, 1), 0.95 for p95.
        confidence: Coverage as a fraction in (0, 1), not a percentage.

    Returns:
        A ratio, 1.1 for ten percent more; undefined unless both quantiles are above 0. A side of the interval is None
        if an arm's bound that it depends on is missing or not above 0.

    Raises:
        ValueError: `p` or `confidence` lies outside (0, 1).

    Source: Zou and Donner, Stat. Med. 27 (2008) 1693-1702, equation 3, on logarithms.
    """
    intervals = [quantile_interval(arm, p, confidence=confidence) for arm in (base, candidate)]
    base_value, candidate_value = base.quantile(p) or 0.0, candidate.quantile(p) or 0.0
    value = positive_ratio(base_value, candidate_value)
    if value is None:
        reason = _why_undefined("base", base, p) or _why_undefined("candidate", candidate, p)
        return Effect(value=None, interval=UNKNOWN, reason=reason or "the quantiles are too far apart for a ratio")
    below, above = mover_reach(
        ArmEstimate(value=math.log(base_value), interval=log_interval(intervals[0])),
        ArmEstimate(value=math.log(candidate_value), interval=log_interval(intervals[1])),
    )
    problems = [
        problem
        for arm, sample, interval in (("base", base, intervals[0]), ("candidate", candidate, intervals[1]))
        if (problem := _why_unbounded(arm, sample.n, interval, p, confidence=confidence))
    ]
    return ratio_effect(value, below=below, above=above, reason="; ".join(problems) or None)


def traces_for_bounded_quantile(p: float, *, confidence: float) -> int:
    """Return the smallest number of traces in an arm whose interval for the p-quantile has both sides.

    381 for p99 and 73 for p95 at a confidence of 0.95: n such that n p (1-p) exceeds z^2 times the square of the larger
    of p and 1-p.

    Raises:
        ValueError: `p` or `confidence` lies outside (0, 1).
    """
    z = normal_critical(confidence)
    _check_quantile(p)
    n = max(1, math.floor(z * z * max(p / (1 - p), (1 - p) / p)))
    while not _is_bounded(n, p, confidence=confidence):  # one step, more only where rounding decides
        n += 1
    return n


def log_interval(interval: Interval) -> Interval:
    """Take logarithms of both bounds; a bound that is not above 0 becomes None."""
    return Interval(low=_log(interval.low), high=_log(interval.high))


def _log(bound: float | None) -> float | None:
    return math.log(bound) if bound is not None and bound > 0 else None


def _bound_ranks(n: int, p: float, *, confidence: float) -> tuple[int, int]:
    """Return the ranks of the bounds, 1-based; one outside 1..n is an unbounded side."""
    z = normal_critical(confidence)
    _check_quantile(p)
    reach = z * math.sqrt(n * p * (1 - p))
    low = math.ceil(n * p - reach)
    high = n + 1 - math.ceil(n * (1 - p) - reach)  # = floor(n p + reach) + 1, mirrored so that p near 1 keeps digits
    # The estimate lies between two ranks. In a tail with less than one trace beyond it the normal approximation can
    # leave it outside, so the bounds take in both.
    position = (n - 1) * p
    return min(low, math.floor(position) + 1), max(high, math.ceil(position) + 1)


def _is_bounded(n: int, p: float, *, confidence: float) -> bool:
    low, high = _bound_ranks(n, p, confidence=confidence)
    return low >= 1 and high <= n


def _check_quantile(p: float) -> None:
    if not 0 < p < 1:
        raise ValueError(f"p is {p}. Pass a fraction between 0 and 1, 0.95 for the 95th percentile.")


def _why_undefined(arm: str, sample: Ordered, p: float) -> str | None:
    value = sample.quantile(p)
    if value is None:
        return f"the {arm} has no traces"
    return f"the {arm}'s p{100 * p:g} is {value:g}: a ratio needs one above 0" if value <= 0 else None


def _why_unbounded(arm: str, n: int, interval: Interval, p: float, *, confidence: float) -> str | None:
    if interval.low is None or interval.high is None:
        needed = traces_for_bounded_quantile(p, confidence=confidence)
        return f"the {arm} needs {needed} traces for both bounds of its p{100 * p:g} and has {n}"
    if interval.low <= 0:
        return f"the lower bound of the {arm}'s p{100 * p:g} is {interval.low:g}: a ratio needs one above 0"
    return None
