"""Columns of text as one column of maps from their names."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracecanary.collector.column_values import ArrowArray, Coded, Constant, Values, int32_bytes

if TYPE_CHECKING:
    import pyarrow as pa


def text_map(columns: Sequence[tuple[str, Values]], rows: int) -> pa.Array[Any]:
    """Return the map of each row: names to texts, without those that are None."""
    import pyarrow as pa

    width = len(columns)
    names = _take(pa.array([name for name, _ in columns], pa.string()), array("i", range(width)) * rows)
    texts = _side_by_side([values for _, values in columns], rows)
    if not texts.null_count:
        offsets: Any = range(0, rows * width + 1, width) if width else [0] * (rows + 1)
        return _map(pa.array(offsets, pa.int32()), names, texts)
    import pyarrow.compute as pc

    is_there = texts.is_valid()
    ends = array("i", int32_bytes(pc.cumulative_sum(is_there.cast(pa.int32()))))[width - 1 :: width]
    offsets = pa.Array.from_buffers(pa.int32(), rows + 1, [None, pa.py_buffer(array("i", [0]) + ends)])
    return _map(offsets, names.filter(is_there), texts.filter(is_there))


def _side_by_side(columns: Sequence[Values], rows: int) -> ArrowArray:
    """Return the texts of the first row, then of the second, and so on."""
    import pyarrow as pa
    import pyarrow.compute as pc

    width = len(columns)
    # First what repeats, then columns of different texts.
    repeating: list[str | None] = []
    others = [(number, values) for number, values in enumerate(columns) if not isinstance(values, Constant | Coded)]
    places = array("i", bytes(4 * rows * width))
    for number, values in enumerate(columns):
        if isinstance(values, Constant):
            places[number::width] = array("i", [len(repeating)]) * rows
            repeating.append(values.value)
        elif isinstance(values, Coded):
            codes = pc.add(values.codes, pa.scalar(len(repeating), pa.int32()))
            places[number::width] = array("i", int32_bytes(codes))
            repeating += values.distinct
    pools = [pa.array(repeating, pa.string())]
    for start, (number, values) in enumerate(others):
        first = len(repeating) + start * rows
        places[number::width] = array("i", range(first, first + rows))
        pools.append(values.array(pa.string()))
    return _take(pa.concat_arrays(pools), places)


def _take(pool: ArrowArray, places: array[int]) -> ArrowArray:
    import pyarrow as pa

    return pool.take(pa.Array.from_buffers(pa.int32(), len(places), [None, pa.py_buffer(places)]))


def _map(offsets: ArrowArray, names: ArrowArray, texts: ArrowArray) -> pa.Array[Any]:
    import pyarrow as pa

    # The stubs know offsets of 64 bits only; the array has 32.
    return pa.MapArray.from_arrays(offsets, names, texts)
