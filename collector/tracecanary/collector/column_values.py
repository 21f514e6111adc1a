"""The values of one column, of many spans: read once where they are equal, and as maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tracecanary.collector.coercion import MAX_QUANTITY, to_count, to_int

if TYPE_CHECKING:
    import pyarrow as pa

# Of one type, since 1, 1.0 and True are equal.
_MEMOISED = ({str}, {int}, {bool}, {float})
_COUNT_READERS = (to_int, to_count)

Values = Sequence[Any]


def read_all(read: Callable[[Any], object], values: Values) -> Values:
    """Return what `read` makes of each value, reading equal ones once; a single value if all are equal."""
    first = values[0]
    if type(first) is str and values.count(first) == len(values):
        return [read(first)]
    kinds = set(map(type, values))
    if kinds == {int} and read in _COUNT_READERS and 0 <= min(values) < max(values) <= MAX_QUANTITY:
        return values
    distinct = set(values) if kinds in _MEMOISED else set()
    if not distinct or (kinds == {float} and 0.0 in distinct):  # which -0.0 is equal to
        return [read(value) for value in values]
    if len(distinct) == 1:
        return [read(first)]
    known = {value: read(value) for value in distinct}
    return [known[value] for value in values]


def map_entries(names: list[str], columns: list[Values]) -> tuple[list[str], list[str], list[int]]:
    """Return keys, items and offsets of a map whose columns have no value in some rows."""
    keys, items, offsets = [], [], [0]
    for row in zip(*columns, strict=True):
        for name, text in zip(names, row, strict=True):
            if text is not None:
                keys.append(name)
                items.append(text)
        offsets.append(len(keys))
    return keys, items, offsets


def repeated(texts: list[str], times: int) -> pa.Array[Any]:
    """Return `texts` as many times in a row; doubling them costs no more than copying the result."""
    import pyarrow as pa

    length = len(texts) * times
    doubled = pa.array(texts, pa.string())
    while len(doubled) < length:
        doubled = pa.concat_arrays([doubled, doubled])
    return doubled.slice(0, length)
