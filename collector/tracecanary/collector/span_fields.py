"""What spans of one shape hold, by columns: ids and times as arrays, the rest as `Values`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracecanary.collector.coercion import MAX_DURATION_NS
from tracecanary.collector.column_values import ArrowArray, Values, listed_values
from tracecanary.collector.shaped_spans import (
    DROPPED,
    END,
    EVENTS,
    FIRST_VALUE,
    IS_SAMPLED,
    NAME,
    PARENT,
    SPAN_ID,
    START,
    STATUS,
    TRACE_ID,
    TRACE_STATE,
    SpanGroup,
    SpanShape,
)

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_INT64 = 2**63 - 1
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_OFFSETS_BYTES, _MAX_OFFSET = 4, 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFields:
    """Columns of spans of one shape.

    Attributes:
        trace_ids: As hex digits, like the other ids.
        span_ids: None of them is null.
        parents: Null at a root.
        starts: ns since the epoch, 64 bits.
        durations: ns, 64 bits, none below 0.
        names: Names of the spans.
        statuses: As OTLP numbers them.
        are_sampled: Whether the application's own sampler kept them.
        trace_states: As text.
        dropped: How many attributes were dropped.
        attributes: By the names of the shape.
        events: Of each span; None when they tell nothing.
    """

    trace_ids: ArrowArray
    span_ids: ArrowArray
    parents: ArrowArray
    starts: ArrowArray
    durations: ArrowArray
    names: Values
    statuses: Values
    are_sampled: Values
    trace_states: Values
    dropped: Values
    attributes: AttributeColumns
    events: Sequence[Sequence[tuple[Any, ...]]] | None


class AttributeColumns:
    """The values of attributes by name, each column made when it is asked for: many are never read.

    Args:
        shape: What the spans share.
        columns: Of each attribute, the values, or what makes them.
    """

    def __init__(self, shape: SpanShape, columns: Sequence[Any]) -> None:
        self._places = {name: place for place, name in enumerate(shape.attributes)}
        self._columns = columns
        self._made: dict[str, Values] = {}

    def __getitem__(self, name: str) -> Values:
        values = self._made.get(name)
        if values is None:
            column = self._columns[self._places[name]]
            values = self._made[name] = column() if callable(column) else listed_values(column)
        return values

    def row(self, row: int) -> dict[str, Any]:
        """Return the attributes of one span."""
        return {name: self[name].rows()[row] for name in self._places}


def listed_fields(group: SpanGroup) -> SpanFields:
    """Return the fields of spans that were captured one by one.

    Raises:
        ValueError, TypeError: An id or a time is not as it should be.
    """
    fields = list(zip(*group.spans, strict=True))  # the cheapest way from rows to columns
    starts, ends = _times(fields[START]), _times(fields[END])
    return SpanFields(
        trace_ids=_hex_ids(fields[TRACE_ID], _TRACE_ID_BYTES),
        span_ids=_hex_ids(fields[SPAN_ID], _SPAN_ID_BYTES),
        parents=_hex_parents(fields[PARENT]),
        starts=starts,
        durations=durations(starts, ends),
        names=listed_values(fields[NAME]),
        statuses=listed_values(fields[STATUS]),
        are_sampled=listed_values(fields[IS_SAMPLED]),
        trace_states=listed_values(fields[TRACE_STATE]),
        dropped=listed_values(fields[DROPPED]),
        attributes=AttributeColumns(group.shape, fields[FIRST_VALUE:]),
        events=fields[EVENTS],
    )


def durations(starts: ArrowArray, ends: ArrowArray) -> ArrowArray:
    """Return ends minus starts, as `to_duration_ns`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing, most = (pa.scalar(bound, pa.int64()) for bound in (0, MAX_DURATION_NS))
    found: ArrowArray = pc.subtract(ends, starts)
    return pc.if_else(pc.and_(pc.greater(found, nothing), pc.less_equal(found, most)), found, nothing)


def hex_texts(ids: pa.Array[Any]) -> ArrowArray:
    """Return the hex digits of ids, an array of bytes; nulls stay.

    Raises:
        ValueError: They are too many for one array.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    validity, offsets, characters = ids.buffers()
    first, last = _offset_at(offsets, ids.offset), _offset_at(offsets, ids.offset + len(ids))
    if ids.offset or first:
        return hex_texts(pa.concat_arrays([ids.slice(0, 0), ids]))  # a copy begins at 0
    if 2 * last > _MAX_OFFSET:
        raise ValueError(f"{last} bytes of ids")
    digits = b"" if characters is None else characters.to_pybytes()[:last].hex().encode()
    ends: ArrowArray = pa.Array.from_buffers(pa.int32(), len(ids) + 1, [None, offsets])
    doubled = pc.multiply(ends, pa.scalar(2, pa.int32()))
    return pa.Array.from_buffers(pa.string(), len(ids), [validity, doubled.buffers()[1], pa.py_buffer(digits)])


def _offset_at(offsets: ArrowArray, place: int) -> int:
    """Return one of the offsets of an array."""
    return int.from_bytes(offsets.slice(_OFFSETS_BYTES * place, _OFFSETS_BYTES).to_pybytes(), "little")


def _hex_ids(ids: Sequence[int], size: int) -> ArrowArray:
    if min(ids) <= 0:
        raise ValueError("an id is 0")
    return _fixed_texts(b"".join([number.to_bytes(size) for number in ids]).hex(), 2 * size)


def _hex_parents(parents: Sequence[int | None]) -> ArrowArray:
    import pyarrow as pa

    if all(parents):  # made of all at once, like other ids
        return _fixed_texts(b"".join([(parent or 0).to_bytes(_SPAN_ID_BYTES) for parent in parents]).hex(), 16)
    texts = [parent.to_bytes(_SPAN_ID_BYTES).hex() if parent else None for parent in parents]
    return pa.array(texts, pa.string())


def _fixed_texts(digits: str, width: int) -> ArrowArray:
    """Return texts of one width: all of them are one buffer."""
    import pyarrow as pa

    offsets = pa.array(range(0, len(digits) + 1, width), pa.int32())
    return pa.Array.from_buffers(
        pa.string(), len(digits) // width, [None, offsets.buffers()[1], pa.py_buffer(digits.encode())]
    )


def _times(times: Sequence[Any]) -> ArrowArray:
    import pyarrow as pa

    if set(map(type, times)) != {int} or min(times) < 0 or max(times) > _MAX_INT64:
        raise ValueError("a time is none")
    return pa.array(times, pa.int64())
