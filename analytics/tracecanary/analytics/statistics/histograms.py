"""Counts of values by logarithmic bucket: what quantiles are read from, small enough to add up hour by hour.

Bucket b of scale s holds the values x with b = ceil(log2(x) 2^s) - 1: it ends at 2^((b+1) / 2^s) and includes its end.
Values of 0 stand apart, below all buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tracecanary.analytics.statistics.arrays import divide

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Floats

SCALE = 5  # 32 buckets for each doubling: 2.2 % wide
COARSE_SCALE = 2  # with groups: 4 for each doubling


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histograms:
    """Histograms over one range of buckets.

    Args:
        counts: Values in each bucket, shape (..., buckets); column 0 counts zeros. They need not be whole.
        first: Number of the bucket in column 1.
        scale: Buckets for each doubling, as a power of 2.
    """

    counts: Floats
    first: int
    scale: int = SCALE

    @property
    def n(self) -> Floats:
        """Values in each histogram, shape (...)."""
        total: Floats = self.counts.sum(axis=-1)
        return total

    def end(self, column: Floats) -> Floats:
        """Return log2 of the upper end of a column's bucket; that of the zeros is the start of the first one."""
        end: Floats = (np.asarray(column, dtype=np.float64) + self.first) / 2**self.scale
        return end

    def log_value(self, rank: Floats) -> Floats:
        """Return ln of the value at each rank: 1 for the smallest of n; ranks in between are interpolated.

        Args:
            rank: Shape (..., ranks). Outside 0.5..n+0.5 there is no value.

        Returns:
            Natural logarithms, the same shape; -inf for a zero and NaN where there is no value. Inside a bucket values
            are taken to be spread evenly on the logarithmic scale.
        """
        cumulative = np.cumsum(self.counts, axis=-1)
        total = cumulative[..., -1:]
        # The k-th of c values in a bucket lies at (k - 0.5) / c of it.
        position = np.clip(rank - 0.5, 0.0, total)
        column = (cumulative[..., None, :] < position[..., :, None]).sum(axis=-1)
        column = np.minimum(column, self.counts.shape[-1] - 1)
        inside = np.take_along_axis(self.counts, column, axis=-1)
        before = np.take_along_axis(cumulative, column, axis=-1) - inside
        share = np.clip(divide(position - before, inside), 0.0, 1.0)
        log2 = self.end(column.astype(np.float64)) - (1 - share) / 2**self.scale
        found = np.where(column == 0, -np.inf, log2 * np.log(2))
        return np.where((total > 0) & np.isfinite(rank) & (rank > 0) & (rank <= total + 0.5), found, np.nan)


def bucket_of(value: Floats, *, scale: int = SCALE) -> Floats:
    """Return the bucket of each value above 0."""
    bucket: Floats = np.ceil(np.log2(value) * 2**scale) - 1
    return bucket
