"""A measured share beside its target."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured share beside its target; `low` and `high` are what it should lie between, as fractions."""

    section: str
    name: str
    share: float
    replicates: int
    low: float = 0.0
    high: float = 1.0

    @property
    def half_width(self) -> float:
        """Half of the 95 % Monte-Carlo interval (Agresti-Coull)."""
        n = self.replicates + 4
        centre = (self.share * self.replicates + 2) / n
        return 1.96 * math.sqrt(centre * (1 - centre) / n)

    @property
    def is_met(self) -> bool:
        """Whether the target lies within reach of what was measured."""
        return self.low - self.half_width <= self.share <= self.high + self.half_width
