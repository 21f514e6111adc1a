"""Whether the arms got the traffic they were meant to get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

# Not scipy.stats, which costs the start of every command 0.4 s.
from scipy.special import chdtrc, gammaln

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
    if total <= 0:
        return None
    expected = shares * total
    return float(chdtrc(counts.size - 1, ((counts - expected) ** 2 / expected).sum()))


def equal_shares_p_value(counts: Floats) -> float:
    """Return the p-value of Pearson's test that all columns of `counts` have the same shares.

    No row or column may be all 0. A table of two by two gets Yates' correction.

    Source: Yates, Suppl. J. R. Stat. Soc. 1 (1934) 217-235.
    """
    counts = np.asarray(counts, dtype=np.float64)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    if not freedom:
        return 1.0
    away = np.abs(counts - expected)
    if freedom == 1:
        away -= np.minimum(0.5, away)
    return float(chdtrc(freedom, (away**2 / expected).sum()))
