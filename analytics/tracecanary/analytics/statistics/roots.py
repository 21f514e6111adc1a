"""Roots of many convex functions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracecanary.analytics.statistics.arrays import Floats

_MOST_STEPS = 100
# Newton's steps square the error: after one this short, what is left is below 1e-11.
_SHORT_STEP = 1e-6


def roots(
    value_and_slope: Callable[[Floats], tuple[Floats, Floats]], inside: Floats, outside: Floats, guess: Floats
) -> Floats:
    """Find where functions turn from negative to positive, by Newton's steps that never leave their bracket.

    Args:
        value_and_slope: Evaluates all functions, each at its own place.
        inside: Places where the functions are negative, or 0.
        outside: Places where they are positive.
        guess: Places to begin at.

    Returns:
        The roots, to a relative 1e-11.
    """
    inside, outside = inside.copy(), outside.copy()
    low, high = np.minimum(inside, outside), np.maximum(inside, outside)
    place = np.where((guess > low) & (guess < high), guess, (inside + outside) / 2)
    for _ in range(_MOST_STEPS):
        value, slope = value_and_slope(place)
        is_inside = value <= 0
        inside, outside = np.where(is_inside, place, inside), np.where(is_inside, outside, place)
        with np.errstate(all="ignore"):
            step = place - value / slope
        low, high = np.minimum(inside, outside), np.maximum(inside, outside)
        is_newtons = (step > low) & (step < high)
        following = np.where(is_newtons, step, (inside + outside) / 2)
        is_short = np.abs(following - place) <= np.where(is_newtons, _SHORT_STEP, _SHORT_STEP**2) * (1 + np.abs(place))
        place = following
        if is_short.all():
            break
    return place
