"""When the traffic's split changed: the periods of a question, from its traces by hour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracecanary.analytics.day_blocks import DAY_NS
from tracecanary.analytics.evidence import MIN_SHARE_SIDE_BY_SIDE, Period
from tracecanary.analytics.question import time_of
from tracecanary.analytics.rollup_arrays import Places, tally
from tracecanary.analytics.statistics.ramp import ramp_starts, share_side_by_side


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Hours in which an arm has traces, with their number, and when the first and last of those traces started."""

    hour_ns: Places
    arm: Places
    traces: Places
    first_ns: Places
    last_ns: Places


def period_starts(times: Times, *, facts_from_ns: int) -> tuple[list[int], float]:
    """Return when the traffic's split changed, in ns since the epoch, and how much of the traffic was side by side.

    The start of the first period is left out. Before `facts_from_ns`, the next day's start stands for a change.
    """
    hours, place = np.unique(times.hour_ns, return_inverse=True)
    counts = tally(place * 2 + times.arm, times.traces, (len(hours), 2)) if len(hours) else np.zeros((0, 2))
    starts = ramp_starts(counts)
    share = share_side_by_side(counts, starts)
    # Where the arms hardly ran side by side, periods would leave nothing to compare; the check on time tells.
    if share < MIN_SHARE_SIDE_BY_SIDE:
        return [], share
    changes = [int(hours[start]) for start in starts[1:]]
    whole = {change + (-change % DAY_NS if change < facts_from_ns else 0) for change in changes}
    return sorted(change for change in whole if change <= hours[-1]), share


def periods_of(times: Times, starts: Sequence[int]) -> tuple[Period, ...]:
    """Return the periods of a question, given the starts of all but the first, ns since the epoch."""
    number = np.searchsorted(np.array(starts, dtype=np.int64), times.hour_ns, side="right")
    periods = []
    for place in range(len(starts) + 1):
        inside = number == place
        extent = int(times.last_ns[inside].max() - times.first_ns[inside].min()) if inside.any() else 0
        start = None if place == 0 else time_of(starts[place - 1])
        periods.append(Period(start=start, days=extent / DAY_NS))
    return tuple(periods)
