"""Many tests at once: which findings stand when thirty cohorts were looked at in a dozen metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracecanary.analytics.statistics.arrays import Flags, Floats


def e_bh(log_e: Floats, *, false_discovery_rate: float) -> Flags:
    """Choose the findings whose false discovery rate is bounded, whatever depends on what and whenever it is read.

    Source: Wang and Ramdas, J. R. Stat. Soc. B 84 (2022) 822-852, definition 1.
    """
    log_e = np.asarray(log_e, dtype=np.float64)
    family = log_e.size
    if family == 0:
        return np.zeros(0, dtype=np.bool_)
    descending = np.sort(log_e)[::-1]
    needed = np.log(family / (np.arange(1, family + 1) * false_discovery_rate))
    enough = np.flatnonzero(descending >= needed)
    return log_e >= descending[enough[-1]] if enough.size else np.zeros(family, dtype=np.bool_)


def confirmed_findings(
    family: int, found: Flags, is_found_at: Callable[[float], Flags], *, false_discovery_rate: float
) -> tuple[Flags, float]:
    """Run e-BH with e-values that are given by their intervals: e >= 1 / alpha where the one of 1 - alpha excludes.

    Args:
        family: Number of tests made, found or not.
        found: Tests whose interval excludes the hypothesis at 1 - `false_discovery_rate`.
        is_found_at: Returns which of all tests exclude it at a higher confidence.
        false_discovery_rate: Bound on the expected share of false findings.

    Returns:
        The findings that stand, and the confidence of their intervals, 1 - k q / K for k of K tests: at it, the
        expected share of intervals of findings that miss is bounded too (false coverage rate).

    Source: Wang and Ramdas, J. R. Stat. Soc. B 84 (2022) 822-852; Xu, Wang and Ramdas, J. R. Stat. Soc. B (2024), for
    the intervals.
    """
    standing = np.asarray(found, dtype=np.bool_)
    count = int(standing.sum())
    # From the most findings down: a level that fewer reach is stricter for all, so that the first fixed point is k.
    while count:
        confidence = 1 - count * false_discovery_rate / max(family, count)
        standing = is_found_at(confidence) & found
        reached = int(standing.sum())
        if reached >= count:
            return standing, confidence
        count = reached
    return np.zeros_like(standing), 1 - false_discovery_rate / max(family, 1)
