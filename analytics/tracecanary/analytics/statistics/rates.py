"""Proportions of traces: failed, retried, fallen back, marked down. The effect is a difference."""

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
)

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.samples import Rate


def wilson_interval(rate: Rate, *, confidence: float) -> Interval:
    """Compute the two-sided Wilson score interval for a rate.

    Args:
        rate: Observed hits out of n traces.
        confidence: Coverage as a fraction in (0, 1), not a percentage.

    Returns:
        Bounds as fractions in [0, 1]; both None without traces.

    Raises:
        ValueError: `confidence` lies outside (0, 1).

    Source: Newcombe, Stat. Med. 17 (1998) 857-872, method 3.
    """
    z = normal_critical(confidence)
    n, value = rate.n, rate.value
    if value is None:
        return UNKNOWN
    scale = 1 + z * z / n
    centre = (value + z * z / (2 * n)) / scale
    reach = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / scale
    # Never past the rate itself: rounding gave 27 out of 27 an upper bound of 0.9999999999999998.
    return Interval(low=min(max(0.0, centre - reach), value), high=max(min(1.0, centre + reach), value))


def rate_difference(base: Rate, candidate: Rate, *, confidence: float) -> Effect:
    """Compare two rates: candidate minus base, with Newcombe's interval (MOVER of the arms' Wilson intervals).

    Args:
        base: Hits out of n traces of the base.
        candidate: Hits out of n traces of the candidate.
        confidence: Coverage as a fraction in (0, 1), not a percentage.

    Returns:
        A difference of fractions in [-1, 1], 0.01 for one percentage point; undefined if an arm has no traces.

    Raises:
        ValueError: `confidence` lies outside (0, 1).

    Source: Newcombe, Stat. Med. 17 (1998) 873-890, method 10.
    """
    base_interval = wilson_interval(base, confidence=confidence)
    candidate_interval = wilson_interval(candidate, confidence=confidence)
    if base.value is None or candidate.value is None:
        arm = "base" if base.value is None else "candidate"
        return Effect(value=None, interval=UNKNOWN, reason=f"the {arm} has no traces")
    below, above = mover_reach(
        ArmEstimate(value=base.value, interval=base_interval),
        ArmEstimate(value=candidate.value, interval=candidate_interval),
    )
    difference = candidate.value - base.value
    interval = Interval(
        low=None if below is None else max(-1.0, difference - below),
        high=None if above is None else min(1.0, difference + above),
    )
    return Effect(value=difference, interval=interval, reason=None)
