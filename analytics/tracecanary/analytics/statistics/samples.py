"""Sufficient statistics of one arm: all that the intervals read, and small enough to add up hour by hour."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# No real sample has (sum x)^2 > n sum x^2. Rounding alone may break that by n * 2e-16, so 0.1 % serves to 10^12 traces.
_CAUCHY_SCHWARZ_SLACK = 1.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Hits out of n traces.

    Raises:
        ValueError: not 0 <= hits <= n.
    """

    hits: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(
                f"a rate of {self.hits} hits out of {self.n} traces is impossible. "
                "Count each trace once, and only traces that could have been a hit."
            )

    def __add__(self, other: Rate) -> Rate:
        return Rate(hits=self.hits + other.hits, n=self.n + other.n)

    @property
    def value(self) -> float | None:
        """Hits as a fraction of the traces, 0..1; None without traces."""
        return self.hits / self.n if self.n else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, sum and sum of squares of a value that each of n traces has.

    Raises:
        ValueError: n is negative, a sum is not finite, or no n values can have these sums.
    """

    n: int
    total: float
    total_of_squares: float

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError(f"n is {self.n}. A count of traces cannot be negative: check the query that made it.")
        if not (math.isfinite(self.total) and math.isfinite(self.total_of_squares)):
            raise ValueError(
                f"total is {self.total} and total_of_squares {self.total_of_squares}. "
                "Both must be finite: leave traces without a value out, or use a larger unit."
            )
        square_of_total = self.total * (self.total / self.n) if self.n else abs(self.total)
        # The absolute slack covers squares so small that they vanish.
        if square_of_total > _CAUCHY_SCHWARZ_SLACK * self.total_of_squares + sys.float_info.min or (
            self.total_of_squares < 0 or (self.n == 0 and self.total_of_squares > 0)
        ):
            raise ValueError(
                f"no {self.n} values have the sum {self.total} and the sum of squares {self.total_of_squares}. "
                "Take all three from the same traces, in the same unit."
            )

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            n=self.n + other.n,
            total=self.total + other.total,
            total_of_squares=self.total_of_squares + other.total_of_squares,
        )

    @property
    def mean(self) -> float | None:
        """Mean of the values, in their unit; None without traces."""
        return self.total / self.n if self.n else None

    @property
    def variance(self) -> float | None:
        """Unbiased variance of the values, in their unit squared; None below two traces.

        Equal values give 0: what the rounding of two running sums can produce on its own counts as no variance. The
        standard error lost to that is below 3e-8 of the root mean square, whatever n is.
        """
        if self.n < 2:
            return None
        residual = self.total_of_squares - self.total * (self.total / self.n)
        # Adding n numbers one after the other is off by up to n eps / 2 of the sum; squaring the total doubles that.
        rounding = 2 * self.n * sys.float_info.epsilon * self.total_of_squares
        return residual / (self.n - 1) if residual > rounding else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ordered:
    """The values of n traces in ascending order: `values` has shape (n,), float64, and is kept as a read-only copy.

    Raises:
        ValueError: a value is not finite, or the values are not one ascending row.
    """

    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(f"values has the shape {values.shape}. Pass one row, a value for each trace.")
        strange = values[~np.isfinite(values)]
        if strange.size:
            raise ValueError(f"{strange.size} values are not finite, first {strange[0]}. Leave traces without one out.")
        falls = np.flatnonzero(values[1:] < values[:-1])
        if falls.size:
            raise ValueError(f"value {falls[0] + 2} is below the one before. Use Ordered.of, which sorts.")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, values: Iterable[float]) -> Ordered:
        """Sort the values of an arm's traces; they may come in any order."""
        row = values if isinstance(values, np.ndarray) else np.fromiter(values, dtype=np.float64)
        return cls(values=np.sort(row))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ordered) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash(tuple(self.values.tolist()))  # by value: -0.0 equals 0.0, though their bytes differ

    @property
    def n(self) -> int:
        """Number of traces."""
        return int(self.values.size)

    def at_rank(self, rank: int) -> float | None:
        """Return the value at `rank`, 1 for the smallest and n for the largest; None for a rank that n lacks."""
        return float(self.values[rank - 1]) if 1 <= rank <= self.n else None

    def quantile(self, p: float) -> float | None:
        """Return the p-quantile, 0 <= p <= 1, in the values' unit; None without traces.

        Raises:
            ValueError: `p` lies outside [0, 1].

        Source: Hyndman and Fan, The American Statistician 50 (1996) 361-365, definition 7; numpy's "linear".
        """
        if not 0 <= p <= 1:
            raise ValueError(f"p is {p}. Pass a fraction between 0 and 1, 0.95 for the 95th percentile.")
        if self.n == 0:
            return None
        position = (self.n - 1) * p
        lower, upper = float(self.values[math.floor(position)]), float(self.values[math.ceil(position)])
        weight = position - math.floor(position)
        # Not lower + weight * (upper - lower): that difference can overflow. Rounding must not leave the two values.
        return min(max(lower * (1 - weight) + upper * weight, lower), upper)
