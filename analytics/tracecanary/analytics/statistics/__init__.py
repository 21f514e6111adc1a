"""How the candidate differs from the base, and how sure that is, whenever it is looked at.

Pure functions on frozen sufficient statistics, vectorised over cohorts and metrics. The effect is the candidate
compared with the base, larger is worse. Inside this package NaN stands for "not defined" and an infinite bound for "no
bound"; who calls it turns both into None with a reason. docs/statistics.md says which function is which method.
"""

from tracecanary.analytics.statistics.arrays import Bounds, mover
from tracecanary.analytics.statistics.clock import Look, log_e_value, log_e_value_above, optimal_ratio
from tracecanary.analytics.statistics.heterogeneity import Heterogeneity, heterogeneity
from tracecanary.analytics.statistics.histograms import Histograms, bucket_of
from tracecanary.analytics.statistics.means import LogRatios, MeanArms, log_ratios, mean_ratios
from tracecanary.analytics.statistics.multiplicity import confirmed_findings, e_bh
from tracecanary.analytics.statistics.pairs import (
    PairedHits,
    mcnemar_p_value,
    mcnemar_p_values,
    paired_rate_difference,
    paired_rate_differences,
)
from tracecanary.analytics.statistics.planning import detectable_effect, traces_needed
from tracecanary.analytics.statistics.quantiles import (
    bound_ranks,
    log_quantile_bounds,
    quantile_ratios,
    traces_for_bounded_quantile,
)
from tracecanary.analytics.statistics.ramp import ramp_starts, share_side_by_side
from tracecanary.analytics.statistics.rates import log_mixture_e_value, rate_bounds, rate_differences
from tracecanary.analytics.statistics.sample_ratio import (
    equal_shares_p_value,
    log_sample_ratio_e_value,
    split_p_value,
)
from tracecanary.analytics.statistics.spread import (
    ClusterEffect,
    GroupCounts,
    MixedHistograms,
    cluster_effect,
    mix_histograms,
)
from tracecanary.analytics.statistics.standardise import ArmMeans, GroupSums, standardise, stratum_weights

__all__ = [
    "ArmMeans",
    "Bounds",
    "ClusterEffect",
    "GroupCounts",
    "GroupSums",
    "Heterogeneity",
    "Histograms",
    "LogRatios",
    "Look",
    "MeanArms",
    "MixedHistograms",
    "PairedHits",
    "bound_ranks",
    "bucket_of",
    "cluster_effect",
    "confirmed_findings",
    "detectable_effect",
    "e_bh",
    "equal_shares_p_value",
    "heterogeneity",
    "log_e_value",
    "log_e_value_above",
    "log_mixture_e_value",
    "log_quantile_bounds",
    "log_ratios",
    "log_sample_ratio_e_value",
    "mcnemar_p_value",
    "mcnemar_p_values",
    "mean_ratios",
    "mix_histograms",
    "mover",
    "optimal_ratio",
    "paired_rate_difference",
    "paired_rate_differences",
    "quantile_ratios",
    "ramp_starts",
    "rate_bounds",
    "rate_differences",
    "share_side_by_side",
    "split_p_value",
    "standardise",
    "stratum_weights",
    "traces_for_bounded_quantile",
    "traces_needed",
]
