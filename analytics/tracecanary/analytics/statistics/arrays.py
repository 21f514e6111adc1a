"""What the methods share: arrays in which NaN stands for "not defined", and how intervals of two arms combine.

NaN never leaves this package's callers: they turn it into None with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """Estimates with their intervals, arrays of one shape. NaN is undefined, an infinite bound is no bound."""

    value: Floats
    low: Floats
    high: Floats


def mover(base: Bounds, candidate: Bounds, *, correlation: Floats | float = 0.0) -> Bounds:
    """Combine the intervals of two arms into one of candidate minus base.

    Each side recovers the arms' variances from the sides of their intervals that it depends on, so that a skewed arm
    gives a skewed difference.

    Args:
        base: The base's estimates.
        candidate: The candidate's estimates, of the same shape.
        correlation: Correlation of the two estimates, 0 for independent arms.

    Source: Zou and Donner, Stat. Med. 27 (2008) 1693-1702, equation 3; with a correlation, equation 5.
    """
    value = candidate.value - base.value
    below = _reach(candidate.value - candidate.low, base.high - base.value, correlation)
    above = _reach(candidate.high - candidate.value, base.value - base.low, correlation)
    return Bounds(value=value, low=value - below, high=value + above)


def _reach(one: Floats, other: Floats, correlation: Floats | float) -> Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        shared = 2 * np.asarray(correlation) * one * other
        reach = np.sqrt(np.maximum(one**2 + other**2 - shared, 0.0))
    unbounded = np.isinf(one) | np.isinf(other)
    return np.where(unbounded, np.inf, reach)


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Divide element by element; NaN where the denominator is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        found: Floats = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
        np.divide(numerator, denominator, out=found, where=denominator != 0)
        return found
