"""How the candidate differs from the base, and how sure that is: intervals for one planned look at the data.

Pure functions on frozen sufficient statistics. The effect is the candidate compared with the base, larger is worse, and
what is undefined is None with a reason. The values of an arm count as independent of each other.
"""

from tracecanary.analytics.statistics.intervals import Effect, Interval
from tracecanary.analytics.statistics.means import mean_ratio
from tracecanary.analytics.statistics.planning import (
    traces_for_mean_margin,
    traces_for_quantile_margin,
    traces_for_rate_margin,
)
from tracecanary.analytics.statistics.quantiles import quantile_interval, quantile_ratio, traces_for_bounded_quantile
from tracecanary.analytics.statistics.rates import rate_difference, wilson_interval
from tracecanary.analytics.statistics.samples import Moments, Ordered, Rate

__all__ = [
    "Effect",
    "Interval",
    "Moments",
    "Ordered",
    "Rate",
    "mean_ratio",
    "quantile_interval",
    "quantile_ratio",
    "rate_difference",
    "traces_for_bounded_quantile",
    "traces_for_mean_margin",
    "traces_for_quantile_margin",
    "traces_for_rate_margin",
    "wilson_interval",
]
