"""Means over traces: cost, tokens, steps. The effect is a ratio, because a margin on it is one of percent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.special import stdtrit

from tracecanary.analytics.statistics.intervals import (
    UNKNOWN,
    Effect,
    positive_ratio,
    ratio_effect,
    tail_probability,
)

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.samples import Moments

_LARGEST_SPREAD = 1e150  # in units of the mean; the square of more is no finite float


def mean_ratio(base: Moments, candidate: Moments, *, confidence: float) -> Effect:
    """Compare two means: candidate over base, with a t interval on the logarithm of the ratio.

    The variance of a log mean is that of the mean over the mean squared (delta method); the degrees of freedom are
    Welch's. Without any variance the interval is the ratio itself.

    Args:
        base: Moments of the base's traces.
        candidate: Moments of the candidate's traces, in the same unit.
        confidence: Coverage as a fraction in (0, 1), not a percentage.

    Returns:
        A ratio, 1.1 for ten percent more. Its value is None without traces or a mean above 0 in both arms, its
        interval also with a single trace in an arm.

    Raises:
        ValueError: `confidence` lies outside (0, 1).

    Source: Satterthwaite, Biometrics Bulletin 2 (1946) 110-114, equation 17, with the delta method for ln(mean).
    """
    tail = tail_probability(confidence)
    value = positive_ratio(base.mean or 0.0, candidate.mean or 0.0)
    base_variance, candidate_variance = relative_variance(base), relative_variance(candidate)
    if value is None or base_variance is None or candidate_variance is None:
        reason = _why_undefined("base", base) or _why_undefined("candidate", candidate)
        return Effect(value=value, interval=UNKNOWN, reason=reason or "the means are too far apart for a ratio")
    base_square, candidate_square = base_variance / base.n, candidate_variance / candidate.n
    square = base_square + candidate_square
    if square == 0:
        return ratio_effect(value, below=0.0, above=0.0, reason=None)
    # Shares, not squares of squares: those would vanish or overflow for very small or large variances.
    freedom = 1 / ((base_square / square) ** 2 / (base.n - 1) + (candidate_square / square) ** 2 / (candidate.n - 1))
    reach = abs(float(stdtrit(freedom, tail))) * math.sqrt(square)
    return ratio_effect(value, below=reach, above=reach, reason=None)


def relative_variance(moments: Moments) -> float | None:
    """Return the variance in units of the squared mean, which is n times the variance of the log mean.

    None below two traces, for a mean that is not above 0, and for one too near 0 for its square to be a number.
    """
    mean, variance = moments.mean, moments.variance
    if mean is None or mean <= 0 or variance is None:
        return None
    spread = math.sqrt(variance) / mean
    return spread * spread if spread < _LARGEST_SPREAD else None


def _why_undefined(arm: str, moments: Moments) -> str | None:
    if moments.mean is None:
        return f"the {arm} has no traces"
    if moments.mean <= 0:
        return f"the {arm}'s mean is {moments.mean:g}: a ratio needs one above 0"
    if moments.n < 2:
        return f"the {arm} has 1 trace: an interval needs at least 2"
    if relative_variance(moments) is None:
        return f"the {arm}'s mean is too near 0 for its spread"
    return None
