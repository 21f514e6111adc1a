"""Intervals, effects, and how two arms' intervals make one for the difference or the ratio of the arms."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

# exp() beyond this is no finite float.
_LARGEST_EXPONENT = 709.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval; a side that is None is unbounded, or not defined."""

    low: float | None
    high: float | None


UNKNOWN = Interval(low=None, high=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The candidate compared with the base: a difference or a ratio, with its interval.

    `reason` says in words why the value or a side of the interval is missing; None when all are there.
    """

    value: float | None
    interval: Interval
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEstimate:
    """One arm's estimate and its interval, which holds the estimate."""

    value: float
    interval: Interval


def normal_critical(confidence: float) -> float:
    """Return how many standard errors a two-sided normal interval reaches: 1.96 for a confidence of 0.95.

    Raises:
        ValueError: `confidence` lies outside (0, 1).
    """
    # From the lower tail, where a confidence just below 1 keeps its digits; abs, because the median comes as -0.0.
    return abs(float(ndtri(tail_probability(confidence))))


def tail_probability(confidence: float) -> float:
    """Return the probability that a two-sided interval leaves on each side, 0..0.5.

    Raises:
        ValueError: `confidence` lies outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}. Pass a fraction between 0 and 1, 0.95 for 95 percent.")
    return (1 - confidence) / 2


def mover_reach(base: ArmEstimate, candidate: ArmEstimate) -> tuple[float | None, float | None]:
    """Compute how far below and above candidate minus base its interval reaches (MOVER).

    Each side recovers the two arms' variances from the sides of their intervals that it depends on, so a skewed arm
    gives a skewed difference. A side is None where one of those two is.

    Source: Zou and Donner, Stat. Med. 27 (2008) 1693-1702, equation 3.
    """
    return _distance(candidate.value, candidate.interval.low, base.value, base.interval.high), _distance(
        candidate.value, candidate.interval.high, base.value, base.interval.low
    )


def _distance(value: float, bound: float | None, other_value: float, other_bound: float | None) -> float | None:
    if bound is None or other_bound is None:
        return None
    return math.hypot(value - bound, other_value - other_bound)


def positive_ratio(base: float, candidate: float) -> float | None:
    """Return candidate / base; None unless both are above 0 and the ratio is a number above 0 too."""
    if base <= 0 or candidate <= 0:
        return None
    ratio = candidate / base
    return ratio if 0 < ratio < math.inf else None


def ratio_effect(value: float, *, below: float | None, above: float | None, reason: str | None) -> Effect:
    """Turn a ratio and its interval's reach in logarithms into an effect; a reach of None is an unbounded side."""
    low = None if below is None else value * math.exp(-below)
    high = value * math.exp(above) if above is not None and above < _LARGEST_EXPONENT else math.inf
    if math.isfinite(high):
        return Effect(value=value, interval=Interval(low=low, high=high), reason=reason)
    overflow = None if above is None else "the ratio's upper bound is too large for a number"
    return Effect(value=value, interval=Interval(low=low, high=None), reason=reason or overflow)
