"""Pairs: the base's and the candidate's answer to the same request, judged alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc

from tracecanary.analytics.statistics.arrays import divide
from tracecanary.analytics.statistics.rates import rate_differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracecanary.analytics.statistics.arrays import Bounds, Floats
    from tracecanary.analytics.statistics.clock import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedHits:
    """Pairs by where the metric was hit.

    Raises:
        ValueError: A count is negative.
    """

    both: int
    base_only: int
    candidate_only: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.base_only, self.candidate_only, self.neither) < 0:
            raise ValueError(f"{self} has a negative count. Count each pair once.")

    def __add__(self, other: PairedHits) -> PairedHits:
        return PairedHits(
            both=self.both + other.both,
            base_only=self.base_only + other.base_only,
            candidate_only=self.candidate_only + other.candidate_only,
            neither=self.neither + other.neither,
        )

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return self.both + self.base_only + self.candidate_only + self.neither


def mcnemar_p_value(hits: PairedHits) -> float:
    """Compute the exact two-sided p-value of "the candidate is hit as often as the base"; 1 without differing pairs.

    Source: McNemar, Psychometrika 12 (1947) 153-157, with the binomial distribution in place of the chi-square one.
    """
    return float(mcnemar_p_values([hits])[0])


def mcnemar_p_values(hits: Sequence[PairedHits]) -> Floats:
    """Compute the exact p-value of each table, as `mcnemar_p_value`."""
    _, base_only, candidate_only, _ = _counts(hits)
    fewer, more = np.minimum(base_only, candidate_only), np.maximum(base_only, candidate_only)
    # The binomial distribution's tail as an incomplete beta function, which takes any counts: bdtr ends at 2^31.
    found = 2 * betainc(np.maximum(more, 1.0), fewer + 1, 0.5)
    return np.where(more > 0, np.minimum(found, 1.0), 1.0)


def paired_rate_difference(hits: PairedHits, look: Look) -> Bounds:
    """Compare the arms over pairs: candidate minus base, with MOVER and the correlation of the pairs.

    Returns:
        One difference of fractions, shape (1,); NaN without pairs.

    Source: Newcombe, Stat. Med. 17 (1998) 2635-2650, method 8 (method 10 without its continuity correction).
    """
    return paired_rate_differences([hits], look)


def paired_rate_differences(hits: Sequence[PairedHits], look: Look) -> Bounds:
    """Compare the arms in each table, as `paired_rate_difference`."""
    both, base_only, candidate_only, neither = _counts(hits)
    n = both + base_only + candidate_only + neither
    base, candidate = both + base_only, both + candidate_only
    spread = np.sqrt(base * (n - base)) * np.sqrt(candidate * (n - candidate))
    shared = both * neither - base_only * candidate_only
    correlation = np.nan_to_num(divide(shared, spread))
    return rate_differences((divide(base, n), divide(candidate, n)), (n, n), look, correlation=correlation)


def _counts(hits: Sequence[PairedHits]) -> tuple[Floats, Floats, Floats, Floats]:
    table = [(one.both, one.base_only, one.candidate_only, one.neither) for one in hits]
    both, base_only, candidate_only, neither = np.array(table, dtype=np.float64).reshape(len(hits), 4).T
    return both, base_only, candidate_only, neither
