"""When an interval may be read: once, at a planned number of traces, or at any time.

Theory of operation. An always-valid interval is a little wider than one for a single look, by a factor c that depends
on how far the comparison is along its plan. The plan is fixed before the data; it decides where the interval is
tightest, never whether it holds. All intervals of one comparison share one clock, also those at a raised confidence.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import lambertw, log_ndtr, ndtri, stdtrit

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Floats

# Below it the mixture of a proportion would have no mass.
MIN_PLANNED_TRACES = 20


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the data is read.

    Args:
        confidence: Coverage as a fraction in (0, 1).
        planned: Traces of each arm that the plan expects; None for a single look.
        planned_confidence: Confidence that the plan was made for; `confidence` by default. It stays when the
            confidence is raised for many tests, because the plan is frozen.

    Raises:
        ValueError: `confidence` or `planned` lies outside its range.
    """

    confidence: float
    planned: int | None = None
    planned_confidence: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no look."""
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}. Pass a fraction between 0 and 1, 0.95 for 95 percent.")
        if self.planned is not None and self.planned < MIN_PLANNED_TRACES:
            raise ValueError(f"planned is {self.planned}. Plan at least {MIN_PLANNED_TRACES} traces for each arm.")

    def at_confidence(self, confidence: float) -> Look:
        """Return the same clock at another confidence."""
        kept = self.planned_confidence or self.confidence
        return dataclasses.replace(self, confidence=confidence, planned_confidence=kept)

    @cached_property
    def z(self) -> float:
        """Standard errors that a two-sided normal interval reaches: 1.96 for a confidence of 0.95."""
        return abs(float(ndtri((1 - self.confidence) / 2)))

    @cached_property
    def threshold(self) -> float:
        """Logarithm of the e-value that rejects: ln(1 / alpha)."""
        return -math.log1p(-self.confidence)

    @cached_property
    def prior_traces(self) -> float:
        """Weight m of the mixture over a proportion, in traces of one arm.

        Raises:
            ValueError: The look is a single one.
        """
        if self.planned is None:
            raise ValueError("a single look has no mixture. Pass planned for one that is always valid.")
        return max(self.planned / self._best_ratio - 1, 1e-3)

    @cached_property
    def _best_ratio(self) -> float:
        return optimal_ratio(self.planned_confidence or self.confidence)

    def ratio(self, harmonic_traces: Floats) -> Floats:
        """Return R, the data in units of the mixture's prior; `harmonic_traces` is 1 / (1 / n_base + 1 / n_candidate).

        Raises:
            ValueError: The look is a single one.
        """
        if self.planned is None:
            raise ValueError("a single look has no clock. Pass planned for one that is always valid.")
        return self._best_ratio * harmonic_traces / (self.planned / 2)

    def critical(self, harmonic_traces: Floats) -> Floats:
        """Return how many standard errors an interval reaches: 1.96 for a single look, about 3.04 at the plan.

        Source: Robbins, Ann. Math. Stat. 41 (1970) 1397-1409, the normal mixture.
        """
        if self.planned is None:
            return np.full_like(np.asarray(harmonic_traces, dtype=np.float64), self.z)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = self.ratio(harmonic_traces)
            return np.sqrt((1 + 1 / ratio) * (np.log1p(ratio) + 2 * self.threshold))

    def student_factor(self, freedom: Floats) -> Floats:
        """Return how much wider a t interval is than a normal one with `freedom` degrees of freedom."""
        return np.abs(stdtrit(np.maximum(freedom, 1.0), (1 - self.confidence) / 2)) / self.z if self.z else freedom * 0


def optimal_ratio(confidence: float) -> float:
    """Return the R at which the interval is tightest: 8.212 for a confidence of 0.95.

    Source: -W(-alpha^2 / e) - 1, on the lower branch of Lambert's W; Waudby-Smith et al., Ann. Stat. 52 (2024), B.1.
    """
    alpha = 1 - confidence
    return float(-lambertw(-(alpha**2) / math.e, -1).real - 1)


def log_e_value(z: Floats, ratio: Floats) -> Floats:
    """Return ln e against "no difference", two-sided, for an estimate `z` standard errors away from it."""
    return -0.5 * np.log1p(ratio) + z**2 * ratio / (2 * (1 + ratio))


def log_e_value_above(z: Floats, ratio: Floats) -> Floats:
    """Return ln e against "not above", for an estimate `z` standard errors above the bound of the hypothesis."""
    return math.log(2) + log_e_value(z, ratio) + log_ndtr(z * np.sqrt(ratio / (1 + ratio)))
