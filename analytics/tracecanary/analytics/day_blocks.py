"""Whole days of a window as few blocks, and what is left of days that it cuts. Pure.

Theory of operation. Rollups are kept by day, and added up by blocks of 8, 64 and 512 days, so that a window of any
length is covered by few blocks. A window, or a period of one, that begins or ends in the middle of a day leaves a piece
of that day, which must be counted from the traces themselves; unless the day has no traces outside of the piece.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
# Days of a block, the longest first; blocks begin at multiples of their length since the epoch.
BLOCK_DAYS = (512, 64, 8, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Whole days: how many, from the start of the day `first_day`, counted since the epoch."""

    days: int
    first_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A time, such as a piece of a day, ns since the epoch: `from_ns` inclusive, `to_ns` exclusive."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What one period consists of."""

    blocks: tuple[Block, ...] = ()
    pieces: tuple[Piece, ...] = ()


def cover(from_ns: int, to_ns: int, hours_ns: NDArray[np.int64]) -> Coverage:
    """Cover a period.

    Args:
        from_ns: Start, ns since the epoch, inclusive.
        to_ns: End, exclusive.
        hours_ns: Starts of all hours that have traces, ascending.
    """
    if not hours_ns.size or from_ns >= to_ns:
        return Coverage()
    first_day, last_day = int(hours_ns[0]) // DAY_NS, int(hours_ns[-1]) // DAY_NS
    # Where there are no traces beyond, an end need not be kept to: longer blocks hold the same.
    is_from_start = from_ns <= int(hours_ns[0])
    is_to_end = to_ns >= int(hours_ns[-1]) + HOUR_NS
    start = first_day - first_day % BLOCK_DAYS[0] if is_from_start else -(-from_ns // DAY_NS)
    stop = last_day - last_day % BLOCK_DAYS[0] + BLOCK_DAYS[0] if is_to_end else to_ns // DAY_NS
    edges = []
    if start > stop:
        edges.append((from_ns, to_ns))
    else:
        if not is_from_start:
            edges.append((from_ns, start * DAY_NS))
        if not is_to_end:
            edges.append((stop * DAY_NS, to_ns))
    blocks = list(_blocks_between(start, stop))
    pieces = []
    for begin, end in edges:
        day = begin // DAY_NS
        if not _count(hours_ns, begin - begin % HOUR_NS, end):
            continue
        whole_hours = _count(hours_ns, -(-begin // HOUR_NS) * HOUR_NS, end - end % HOUR_NS)
        if whole_hours == _count(hours_ns, day * DAY_NS, (day + 1) * DAY_NS):
            blocks.append(Block(days=1, first_day=day))
        else:
            pieces.append(Piece(from_ns=begin, to_ns=end))
    return Coverage(blocks=tuple(blocks), pieces=tuple(pieces))


def without_cut_days(from_ns: int, to_ns: int, *, facts_from_ns: int, hours_ns: NDArray[np.int64]) -> tuple[int, int]:
    """Narrow a window to whole days where it cuts a day before `facts_from_ns`: of that, no traces can be counted.

    Where the day has no traces outside of the window, the window stays as it is. The end comes to lie before the start
    if nothing is left of it.
    """
    begin, end = from_ns, to_ns
    if begin < facts_from_ns and _count(hours_ns, begin - begin % DAY_NS, begin):
        begin += -begin % DAY_NS
    if end < facts_from_ns and _count(hours_ns, end - end % HOUR_NS, end + -end % DAY_NS):
        end -= end % DAY_NS
    return begin, end


def cut_hours(from_ns: int, to_ns: int, hours_ns: NDArray[np.int64]) -> list[Piece]:
    """Return what a window holds of hours that it cuts and that have traces."""
    pieces = []
    for hour in sorted({from_ns - from_ns % HOUR_NS, to_ns - to_ns % HOUR_NS}):
        begin, end = max(hour, from_ns), min(hour + HOUR_NS, to_ns)
        if begin < end and end - begin < HOUR_NS and _count(hours_ns, hour, hour + HOUR_NS):
            pieces.append(Piece(from_ns=begin, to_ns=end))
    return pieces


def whole_hours(from_ns: int, to_ns: int) -> tuple[int, int]:
    """Return the start of the first whole hour of a window, and the end of the last one, ns since the epoch."""
    return -(-from_ns // HOUR_NS) * HOUR_NS, to_ns - to_ns % HOUR_NS


def _count(hours_ns: NDArray[np.int64], begin: int, end: int) -> int:
    """Count the hours that start within begin, inclusive, to end, exclusive."""
    first, last = np.searchsorted(hours_ns, [begin, end])
    return max(int(last - first), 0)


def _blocks_between(start: int, stop: int) -> Iterator[Block]:
    """Give the longest blocks that make up the days from `start`, inclusive, to `stop`, exclusive."""
    day = start
    while day < stop:
        days = next(days for days in BLOCK_DAYS if day % days == 0 and day + days <= stop)
        yield Block(days=days, first_day=day)
        day += days


def period_bounds(from_ns: int, to_ns: int, starts_ns: Sequence[int]) -> list[tuple[int, int]]:
    """Return start and end of each period of a window, given the starts of all but the first."""
    bounds = [from_ns, *starts_ns, to_ns]
    return list(itertools.pairwise(bounds))
