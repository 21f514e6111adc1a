"""Pairs: the base's and the candidate's answer to the same request, judged alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr

from tracecanary.analytics.statistics.rates import rate_differences

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Bounds
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
    differing = hits.base_only + hits.candidate_only
    fewer = min(hits.base_only, hits.candidate_only)
    return min(1.0, 2 * float(bdtr(fewer, differing, 0.5)))


def paired_rate_difference(hits: PairedHits, look: Look) -> Bounds:
    """Compare the arms over pairs: candidate minus base, with MOVER and the correlation of the pairs.

    Returns:
        One difference of fractions, shape (1,); NaN without pairs.

    Source: Newcombe, Stat. Med. 17 (1998) 2635-2650, method 8 (method 10 without its continuity correction).
    """
    n = float(hits.pairs)
    base, candidate = hits.both + hits.base_only, hits.both + hits.candidate_only
    arms = [np.array([count / n if n else np.nan]) for count in (base, candidate)]
    spread = float(base) * (n - base) * candidate * (n - candidate)
    shared = float(hits.both) * hits.neither - float(hits.base_only) * hits.candidate_only
    correlation = shared / spread**0.5 if spread > 0 else 0.0
    return rate_differences((arms[0], arms[1]), (np.array([n]), np.array([n])), look, correlation=correlation)
