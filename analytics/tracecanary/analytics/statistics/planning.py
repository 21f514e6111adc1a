"""Traces that each arm needs before one look can settle a metric at its margin.

All three count the same: arms of equal size, no true difference, and the chance `power` that the interval's upper side
then lies below the margin. They are estimates from what has been seen so far, and move as more traces come in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.special import ndtri

from tracecanary.analytics.statistics.intervals import normal_critical
from tracecanary.analytics.statistics.means import relative_variance
from tracecanary.analytics.statistics.quantiles import log_interval, quantile_interval, traces_for_bounded_quantile

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.samples import Moments, Ordered, Rate

DEFAULT_POWER = 0.8  # the usual convention; half of the plans at 0.5 would end undecided


def traces_for_rate_margin(
    base: Rate, candidate: Rate, *, margin: float, confidence: float, power: float = DEFAULT_POWER
) -> int | None:
    """Compute the traces per arm that settle a rate at its margin.

    Each arm's variance is p (1-p) of its own rate, pulled towards that of both arms together by half a hit (or half a
    miss, where misses are the rarer), so that an arm without hits does not look free of variance, and an arm without
    traces is taken to be like the other one.

    Args:
        base: Hits out of n traces of the base so far.
        candidate: Hits out of n traces of the candidate so far.
        margin: Difference of fractions in (0, 1], 0.01 for one percentage point.
        confidence: Coverage of the interval as a fraction in (0, 1).
        power: Chance to settle it if there is no difference, in [0.5, 1).

    Returns:
        Traces per arm, at least 1; None without any traces, and for a number too large to be one.

    Raises:
        ValueError: `margin`, `confidence` or `power` lies outside its range.

    Source: Chow, Shao and Wang, Sample Size Calculations in Clinical Research, section 4.2 (non-inferiority).
    """
    if not 0 < margin <= 1:
        raise ValueError(f"margin is {margin}. Pass a difference of fractions, 0.01 for one percentage point.")
    reach = _reach(confidence, power)
    both = base + candidate
    if both.n == 0:
        return None
    centre = (both.hits + 0.5) / (both.n + 1)
    variances = [rate * (1 - rate) for rate in (_pulled_rate(arm, centre) for arm in (base, candidate))]
    return _traces(reach, sum(variances), margin)


def traces_for_mean_margin(
    base: Moments, candidate: Moments, *, margin_ratio: float, confidence: float, power: float = DEFAULT_POWER
) -> int | None:
    """Compute the traces per arm that settle the ratio of two means at its margin.

    Each arm's variance is (standard deviation / mean)^2, pulled towards the pooled one with the weight of one degree of
    freedom: a few equal values do not look free of variance, and an arm without traces is taken to be like the other.

    Args:
        base: Moments of the base's traces so far.
        candidate: Moments of the candidate's traces so far.
        margin_ratio: Ratio above 1, 1.1 for ten percent more.
        confidence: Coverage of the interval as a fraction in (0, 1).
        power: Chance to settle it if there is no difference, in [0.5, 1).

    Returns:
        Traces per arm, at least 2; None if neither arm has two traces, or one has a mean that is not above 0.

    Raises:
        ValueError: `margin_ratio`, `confidence` or `power` lies outside its range.

    Source: Chow, Shao and Wang, Sample Size Calculations in Clinical Research, section 3.2 (non-inferiority), with the
    delta method for ln(mean).
    """
    delta = _log_margin(margin_ratio)
    reach = _reach(confidence, power)
    arms = (base, candidate)
    variances = [relative_variance(arm) for arm in arms]
    freedoms = [max(0, arm.n - 1) for arm in arms]
    if not any(freedoms) or any(arm.mean is not None and arm.mean <= 0 for arm in arms):
        return None
    if any(variance is None and freedom for variance, freedom in zip(variances, freedoms, strict=True)):
        return None
    sums = [freedom * (variance or 0.0) for freedom, variance in zip(freedoms, variances, strict=True)]
    pooled = sum(sums) / sum(freedoms)
    pulled = [(total + pooled) / (freedom + 1) for total, freedom in zip(sums, freedoms, strict=True)]
    return _traces(reach, sum(pulled), delta, at_least=2)


def traces_for_quantile_margin(
    base: Ordered, candidate: Ordered, p: float, *, margin_ratio: float, confidence: float, power: float = DEFAULT_POWER
) -> int | None:
    """Compute the traces per arm that settle the ratio of two quantiles at its margin.

    Each arm's variance is read off the width of its interval on logarithms: n (width / 2z)^2. An arm with too few
    traces for both bounds is taken to be like the other one; if both have too few, the answer is only the number
    that gives bounds at all.

    Args:
        base: The values of the base's traces so far.
        candidate: The values of the candidate's traces so far.
        p: The quantile as a fraction in (0, 1), 0.95 for p95.
        margin_ratio: Ratio above 1, 1.1 for ten percent more.
        confidence: Coverage of the interval as a fraction in (0, 1).
        power: Chance to settle it if there is no difference, in [0.5, 1).

    Returns:
        Traces per arm, never fewer than bounds need; None if a quantile or a bound is not above 0.

    Raises:
        ValueError: `p`, `margin_ratio`, `confidence` or `power` lies outside its range.

    Source: Chow, Shao and Wang, Sample Size Calculations in Clinical Research, section 3.2 (non-inferiority), with the
    standard error of ln(quantile) from its interval.
    """
    delta = _log_margin(margin_ratio)
    reach = _reach(confidence, power)
    at_least = traces_for_bounded_quantile(p, confidence=confidence)
    if any(_is_not_positive(arm, p, confidence=confidence) for arm in (base, candidate)):
        return None
    variances = [_log_quantile_variance(arm, p, confidence=confidence) for arm in (base, candidate)]
    seen = [variance for variance in variances if variance is not None]
    if not seen:
        return at_least
    return _traces(reach, 2 * sum(seen) / len(seen), delta, at_least=at_least)


def _traces(reach: float, variance: float, delta: float, *, at_least: int = 1) -> int | None:
    root = reach * math.sqrt(variance) / delta
    traces = root * root
    return max(at_least, math.ceil(traces)) if math.isfinite(traces) else None


def _reach(confidence: float, power: float) -> float:
    if not 0.5 <= power < 1:
        raise ValueError(f"power is {power}. Pass a fraction from 0.5 to below 1, 0.8 for 80 percent.")
    return normal_critical(confidence) + float(ndtri(power))


def _log_margin(margin_ratio: float) -> float:
    if not 1 < margin_ratio < math.inf:
        raise ValueError(f"margin_ratio is {margin_ratio}. Pass a ratio above 1, 1.1 for ten percent more.")
    return math.log(margin_ratio)


def _pulled_rate(rate: Rate, centre: float) -> float:
    weight = 0.5 / min(centre, 1 - centre)
    return (rate.hits + weight * centre) / (rate.n + weight)


def _is_not_positive(sample: Ordered, p: float, *, confidence: float) -> bool:
    low = quantile_interval(sample, p, confidence=confidence).low
    value = sample.quantile(p)
    return (value is not None and value <= 0) or (low is not None and low <= 0)


def _log_quantile_variance(sample: Ordered, p: float, *, confidence: float) -> float | None:
    bounds = log_interval(quantile_interval(sample, p, confidence=confidence))
    z = normal_critical(confidence)
    if bounds.low is None or bounds.high is None or z == 0:
        return None
    error = (bounds.high - bounds.low) / (2 * z)
    return error * error * sample.n
