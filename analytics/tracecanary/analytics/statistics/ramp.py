"""Periods in which the traffic was split in one way: the steps of a ramp, found from counts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import xlog1py, xlogy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracecanary.analytics.statistics.arrays import Floats

MAX_PERIODS = 24
# Twice the gain in log likelihood that a step must bring: about one false step in a thousand searches of a few weeks of
# hours. Traffic that clusters by user varies more than by chance alone, hence the room.
_MIN_GAIN = 30.0
# A smaller change of the candidate's share biases nothing that matters.
_MIN_CHANGE = 0.02


def ramp_starts(counts: Floats, *, most: int = MAX_PERIODS) -> Sequence[int]:
    """Find where the split changed, by binary segmentation of the likelihood of the candidate's share.

    Args:
        counts: Traces by hour, in order of time, shape (hours, 2): base, candidate.
        most: Largest number of periods.

    Returns:
        Places in `counts` at which a period starts, 0 the first.

    Source: Scott and Knott, Biometrics 30 (1974) 507-512 (binary segmentation).
    """
    totals = np.vstack([np.zeros(2), np.cumsum(counts, axis=0)])
    starts = [0]
    waiting = [(0, len(counts))]
    while waiting and len(starts) < most:
        first, end = waiting.pop(0)
        step = _best_step(totals, first, end)
        if step is not None:
            starts.append(step)
            waiting += [(first, step), (step, end)]
    return sorted(starts)


def share_side_by_side(counts: Floats, starts: Sequence[int]) -> float:
    """Return the share of the candidate's traces in periods in which the base had some, too; 1 without any."""
    periods = np.add.reduceat(counts, list(starts), axis=0) if len(counts) else np.zeros((1, 2))
    candidate = periods[:, 1]
    total = float(candidate.sum())
    return float(candidate[periods[:, 0] > 0].sum()) / total if total else 1.0


def _best_step(totals: Floats, first: int, end: int) -> int | None:
    if end - first < 2:
        return None
    places = np.arange(first + 1, end)
    left, right = totals[places] - totals[first], totals[end] - totals[places]
    whole = totals[end] - totals[first]
    gain = 2 * (_likelihood(left) + _likelihood(right) - _likelihood(whole[None, :]))
    n_left, n_right = left.sum(axis=1), right.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.abs(left[:, 1] / n_left - right[:, 1] / n_right)
    gain = np.where((n_left > 0) & (n_right > 0) & (change > _MIN_CHANGE), gain, -np.inf)
    best = int(np.argmax(gain))
    return int(places[best]) if gain[best] > _MIN_GAIN else None


def _likelihood(counts: Floats) -> Floats:
    total = counts.sum(axis=-1)
    share = np.divide(counts[..., 1], total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(xlogy(counts[..., 1], share) + xlog1py(counts[..., 0], -share))
