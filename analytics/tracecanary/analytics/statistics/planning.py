"""How many traces settle a metric at its margin, and what could be told apart by now. Estimates, not promises.

All count the same: arms of equal size, no true difference, and a chance `power` that the interval's upper side then
lies below the margin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Floats
    from tracecanary.analytics.statistics.clock import Look

DEFAULT_POWER = 0.8  # the usual convention; half of the plans at 0.5 would end undecided
_MOST_STEPS = 12
# Far below the whole traces that are returned for any number that a person would wait for.
_TOLERANCE = 1e-7


def traces_needed(variance: Floats, margin: Floats, look: Look, *, power: float = DEFAULT_POWER) -> Floats:
    """Compute the traces of each arm at which the interval is narrow enough for its margin.

    Args:
        variance: Of one trace, summed over the arms: p (1 - p) twice for a rate.
        margin: On the same scale, above 0.
        look: How the data is read.
        power: Chance to settle it if there is no difference, in [0.5, 1).

    Returns:
        Numbers of traces; NaN where the variance is not known.

    Raises:
        ValueError: `power` lies outside its range.

    Source: Chow, Shao and Wang, Sample Size Calculations in Clinical Research, sections 3.2 and 4.2 (non-inferiority),
    with the clock's critical value in place of the normal one.
    """
    if not 0.5 <= power < 1:
        raise ValueError(f"power is {power}. Pass a fraction from 0.5 to below 1, 0.8 for 80 percent.")
    reserve = float(ndtri(power))
    with np.errstate(all="ignore"):
        unit = variance / margin**2
        traces = np.maximum((look.z + reserve) ** 2 * unit, 2.0)
        # The critical value hardly depends on the number of traces, so that this settles within a few steps.
        for _ in range(_MOST_STEPS if look.planned is not None else 1):
            before, traces = traces, np.clip((look.critical(traces / 2) + reserve) ** 2 * unit, 2.0, 1e15)
            if not (np.abs(traces - before) > _TOLERANCE * traces).any():
                break
    return np.where(np.isfinite(unit), np.ceil(traces), np.nan)


def detectable_effect(error: Floats, critical: Floats, *, power: float = DEFAULT_POWER) -> Floats:
    """Return the effect that would be told from none with the chance `power` at the present standard errors."""
    return (critical + float(ndtri(power))) * error
