"""What a period is made of: blocks of whole days, and pieces of days that it cuts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.analytics.day_blocks import DAY_NS, HOUR_NS, Block, Coverage, Piece, cover, cut_hours, period_bounds

ALWAYS = (0, 2**63 - 1)
EDGES = st.integers(0, 40 * DAY_NS) | st.integers(0, 40 * 24).map(lambda hour: hour * HOUR_NS)


def hours(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, dtype=np.int64) * HOUR_NS


def test_all_of_a_lake_is_one_long_block() -> None:
    assert cover(*ALWAYS, hours(24 * 600, 24 * 700)) == Coverage(blocks=(Block(days=512, first_day=512),))


def test_days_between_are_few_blocks() -> None:
    covered = cover(6 * DAY_NS, 75 * DAY_NS, hours(*range(0, 24 * 100, 5)))

    assert [(block.days, block.first_day) for block in covered.blocks] == [
        (1, 6),
        (1, 7),
        *((8, day) for day in range(8, 64, 8)),
        (8, 64),
        *((1, day) for day in range(72, 75)),
    ]
    assert covered.pieces == ()


def test_a_day_that_is_cut_is_a_piece_unless_it_is_empty_beyond() -> None:
    begin, end = DAY_NS + 2 * HOUR_NS, 3 * DAY_NS + 5 * HOUR_NS

    covered = cover(begin, end, hours(0, 24 + 3, 48, 72 + 1, 72 + 9, 200))

    assert covered.blocks == (Block(days=1, first_day=2), Block(days=1, first_day=1))
    assert covered.pieces == (Piece(from_ns=3 * DAY_NS, to_ns=end),)


def test_hours_that_a_window_cuts_are_told() -> None:
    begin, end = HOUR_NS // 2, 5 * HOUR_NS + 1

    assert cut_hours(begin, end, hours(0, 3, 5)) == [
        Piece(from_ns=begin, to_ns=HOUR_NS),
        Piece(from_ns=5 * HOUR_NS, to_ns=end),
    ]
    assert cut_hours(begin, end, hours(3)) == []


@given(edges=st.lists(EDGES, min_size=2, max_size=5, unique=True), starts=st.sets(st.integers(0, 40 * 24), max_size=60))
def test_every_trace_is_counted_once_in_its_period(edges: list[int], starts: set[int]) -> None:
    first, *between, last = sorted(edges)
    # Of each hour, traces at its start, in its middle and at its end.
    traces = [hour * HOUR_NS + place for hour in starts for place in (0, HOUR_NS // 2, HOUR_NS - 1)]
    occupied = np.array(sorted(starts), dtype=np.int64) * HOUR_NS

    for begin, end in period_bounds(first, last, between):
        covered = cover(begin, end, occupied)
        counted = [
            sum(block.first_day <= trace // DAY_NS < block.first_day + block.days for block in covered.blocks)
            + sum(piece.from_ns <= trace < piece.to_ns for piece in covered.pieces)
            for trace in traces
        ]
        assert counted == [int(begin <= trace < end) for trace in traces]


def test_an_empty_lake_has_nothing_to_read() -> None:
    assert cover(*ALWAYS, hours()) == Coverage()
    assert period_bounds(1, 9, [4]) == [(1, 4), (4, 9)]


@pytest.mark.parametrize(("begin", "end"), [(5, 5), (9, 3)])
def test_a_period_without_time_is_empty(begin: int, end: int) -> None:
    assert cover(begin, end, hours(0)) == Coverage()
