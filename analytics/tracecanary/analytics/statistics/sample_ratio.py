"""Whether the arms got the traffic they were meant to get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln
from scipy.stats import chisquare

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Floats

# Traces' worth of trust in the planned split; the e-value is valid for any.
_PRIOR = 1000.0


def log_sample_ratio_e_value(counts: Floats, shares: Floats) -> float:
    """Return ln e against the planned split, over all periods of constant split.

    Args:
        counts: Randomisation units, shape (periods, arms).
        shares: Planned shares, the same shape, each row adding up to 1.

    Source: Lindon and Malek, NeurIPS 2022 (anytime-valid inference for multinomial counts), equation 6.
    """
    counts, shares = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    prior = _PRIOR * shares
    periods = (
        (gammaln(prior + counts) - gammaln(prior)).sum(axis=-1)
        - gammaln(_PRIOR + counts.sum(axis=-1))
        + gammaln(_PRIOR)
        - (counts * np.log(shares)).sum(axis=-1)
    )
    return float(periods.sum())


def split_p_value(counts: Floats, shares: Floats) -> float | None:
    """Return the p-value of Pearson's test of one period's split, for display; None without units."""
    counts, shares = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    total = counts.sum()
    return float(chisquare(counts, shares * total).pvalue) if total > 0 else None
