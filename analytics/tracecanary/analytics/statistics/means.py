"""Means over traces: cost, tokens, steps. The effect is a ratio, because a margin on it is one of percent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tracecanary.analytics.statistics.arrays import Bounds, divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracecanary.analytics.statistics.arrays import Floats
    from tracecanary.analytics.statistics.clock import Look
    from tracecanary.analytics.statistics.standardise import ArmMeans

# A mean of n values is normal enough from n = 355 skewness^2 on: then its own skewness is below this.
# Source: Kohavi, Deng, Longbotham and Xu, KDD 2014, section 3.5.
MAX_SKEWNESS = 355**-0.5
# exp() beyond this is no finite float.
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanArms:
    """The means of both arms, each field an array whose axis 0 is the arm: base, then candidate.

    Args:
        mean: In the values' unit.
        variance: Of that mean.
        third_moment: Third central moment of that mean.
        freedom: Degrees of freedom of the variance.
        traces: Effective number of traces.
        covariance: Of the two means, without the axis of arms; 0 for independent arms.
    """

    mean: Floats
    variance: Floats
    third_moment: Floats
    freedom: Floats
    traces: Floats
    covariance: Floats

    @classmethod
    def of(cls, means: ArmMeans, metrics: Sequence[int] | NDArray[np.intp] | None = None) -> MeanArms:
        """Take the means of the chosen metrics, or of all, from what was standardised."""
        chosen = slice(None) if metrics is None else metrics
        return cls(
            mean=means.mean[:, :, chosen],
            variance=means.variance[:, :, chosen],
            third_moment=means.third_moment[:, :, chosen],
            freedom=means.freedom[:, :, chosen],
            traces=means.traces[:, :, chosen],
            covariance=means.covariance[:, chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogRatios:
    """Logarithms of ratios of means, their standard errors (t factor included), skewness and effective traces."""

    value: Floats
    error: Floats
    skewness: Floats
    harmonic_traces: Floats


def log_ratios(arms: MeanArms, look: Look) -> LogRatios:
    """Compare means on logarithms: ln(candidate / base).

    The variance of a log mean is that of the mean over the mean squared (delta method); the degrees of freedom are
    Welch's. NaN unless both means are above 0.

    Source: Satterthwaite, Biometrics Bulletin 2 (1946) 110-114, equation 17, with the delta method for ln(mean).
    """
    with np.errstate(all="ignore"):
        mean = np.where(arms.mean > 0, arms.mean, np.nan)
        relative = arms.variance / mean**2
        variance = relative.sum(axis=0) - 2 * arms.covariance / mean.prod(axis=0)
        # Rounding may leave a trace of a negative variance where both arms vary together.
        variance = np.maximum(variance, 0.0)
        shares = divide(relative, np.broadcast_to(relative.sum(axis=0), relative.shape))
        freedom = 1 / (shares**2 / arms.freedom).sum(axis=0)
        cubes = arms.third_moment / mean**3 - 3 * relative**2  # the second term is the logarithm's own curvature
        skewness = divide(cubes[1] - cubes[0], variance**1.5)
        error = np.sqrt(variance) * look.student_factor(np.where(np.isfinite(freedom), freedom, 1e9))
        harmonic = 1 / (1 / arms.traces).sum(axis=0)
        return LogRatios(
            value=np.log(mean[1]) - np.log(mean[0]),
            error=np.where((arms.freedom > 0).all(axis=0), error, np.nan),
            skewness=np.nan_to_num(skewness),
            harmonic_traces=harmonic,
        )


def mean_ratios(arms: MeanArms, look: Look) -> Bounds:
    """Compare means: candidate over base, 1.1 for ten percent more.

    Returns:
        Ratios; NaN unless both means are above 0, with NaN bounds where an arm has no variance yet.
    """
    return ratios_of(log_ratios(arms, look), look)


def ratios_of(logs: LogRatios, look: Look) -> Bounds:
    """Turn logarithms of ratios into ratios with their intervals."""
    reach = look.critical(logs.harmonic_traces) * logs.error
    return exponentials(Bounds(value=logs.value, low=logs.value - reach, high=logs.value + reach))


def exponentials(logs: Bounds) -> Bounds:
    """Turn bounds on logarithms into ratios; an upper bound that is no finite number is unbounded."""
    with np.errstate(over="ignore"):
        high = np.where(logs.high > _LARGEST_EXPONENT, np.inf, np.exp(np.minimum(logs.high, _LARGEST_EXPONENT)))
        value = np.where(np.abs(logs.value) > _LARGEST_EXPONENT, np.nan, np.exp(logs.value))
        return Bounds(value=value, low=np.exp(logs.low), high=np.where(np.isnan(logs.high), np.nan, high))
