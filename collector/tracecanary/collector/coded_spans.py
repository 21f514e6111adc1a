"""Spans of one shape as compiled code gives them: distinct values and codes, so that what repeats is read once."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.collector.column_values import ArrowArray, Constant, Typed, Values, coded_values
from tracecanary.collector.shaped_spans import ShapedSpan, SpanShape, captured_span
from tracecanary.collector.span_fields import AttributeColumns, SpanFields, durations

if TYPE_CHECKING:
    import pyarrow as pa

    from tracecanary.collector import _packed

_TRACE_ID_DIGITS, _SPAN_ID_DIGITS = 32, 16
# Before those of attributes: name, trace state, status, whether it is sampled, dropped attributes.
_LEADING_VALUES = 5
# The values that differ, and for each span, in 32 bits, the place of its own; None when all have the one. Where most
# differ, the buffers of an Arrow array: offsets and characters of texts, or None and integers of 64 bits.
CodedColumn: TypeAlias = tuple[list[Any] | bytes | None, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedGroup:
    """Spans of one shape: all are valid, none has failed, and no event of theirs tells a column. See `SpanColumnGroup`.

    Attributes:
        shape: What they share.
        size: How many there are.
        trace_ids: As hex digits, those of all spans in a row; likewise the other ids.
        has_parent: A bit for each span; None when all have a parent.
        starts: In 64 bits each, like `ends`.
        leading: Names, trace states, statuses, whether they are sampled, dropped attributes.
        values: Of each attribute of the shape.
        judgements: The evaluation events of those that have some, by row.
    """

    shape: SpanShape
    size: int
    trace_ids: bytes
    span_ids: bytes
    parents: bytes
    has_parent: bytes | None
    starts: bytes
    ends: bytes
    leading: Sequence[CodedColumn]
    values: Sequence[CodedColumn]
    judgements: Mapping[int, tuple[CapturedEvent, ...]]

    @property
    def spans(self) -> Iterator[ShapedSpan]:
        """The spans as rows, which are made when they are read."""
        nothing: list[Any] = [()] * self.size
        ids = _integers(self.trace_ids, _TRACE_ID_DIGITS), _integers(self.span_ids, _SPAN_ID_DIGITS)
        parents = [parent or None for parent in _integers(self.parents, _SPAN_ID_DIGITS)]
        times = memoryview(self.starts).cast("q"), memoryview(self.ends).cast("q")
        names, trace_states, statuses, are_sampled, dropped = (self._values(one).rows() for one in self.leading)
        values = [self._values(one).rows() for one in self.values]
        said = [""] * self.size  # none has failed
        own = (nothing, *ids, parents, names, *times, statuses, nothing, are_sampled, trace_states, dropped, said)
        return zip(*own, *values, strict=True)

    @property
    def judged(self) -> list[CapturedSpan]:
        """Those with evaluation events, to read these from: without attributes."""
        starts, ends = memoryview(self.starts).cast("q"), memoryview(self.ends).cast("q")
        return [
            CapturedSpan(
                trace_id=_integer(self.trace_ids, row, _TRACE_ID_DIGITS),
                span_id=_integer(self.span_ids, row, _SPAN_ID_DIGITS),
                parent_span_id=None,
                name="",
                kind=0,
                start_ns=starts[row],
                end_ns=ends[row],
                status_code=0,
                attributes={},
                events=events,
                resource={},
                scope_name=None,
                scope_version=None,
                is_sampled=True,
                trace_state="",
                dropped_attributes=0,
            )
            for row, events in self.judgements.items()
        ]

    def captured(self) -> list[CapturedSpan]:
        """Return the spans one by one, with their evaluation events."""
        spans = enumerate(self.spans)
        return [captured_span(self.shape, span)._replace(events=self.judgements.get(row, ())) for row, span in spans]

    def fields(self) -> SpanFields:
        """Return the columns."""
        names, trace_states, statuses, are_sampled, dropped = map(self._values, self.leading)
        starts, ends = self._times(self.starts), self._times(self.ends)
        return SpanFields(
            trace_ids=self._texts(self.trace_ids, _TRACE_ID_DIGITS),
            span_ids=self._texts(self.span_ids, _SPAN_ID_DIGITS),
            parents=self._texts(self.parents, _SPAN_ID_DIGITS, self.has_parent),
            starts=starts,
            durations=durations(starts, ends),
            names=names,
            statuses=statuses,
            are_sampled=are_sampled,
            trace_states=trace_states,
            dropped=dropped,
            attributes=AttributeColumns(
                self.shape, [functools.partial(self._values, column) for column in self.values]
            ),
            events=None,
        )

    def _values(self, column: CodedColumn) -> Values:
        import pyarrow as pa

        distinct, contents = column
        if isinstance(distinct, list) and contents is None:
            return Constant(distinct[0], self.size)
        buffer = None if contents is None else pa.py_buffer(contents)
        if isinstance(distinct, list):
            return coded_values(distinct, pa.Array.from_buffers(pa.int32(), self.size, [None, buffer]))
        if distinct is None:
            return Typed(pa.Array.from_buffers(pa.int64(), self.size, [None, buffer]))
        return Typed(pa.Array.from_buffers(pa.string(), self.size, [None, pa.py_buffer(distinct), buffer]))

    def _times(self, times: bytes) -> ArrowArray:
        import pyarrow as pa

        return pa.Array.from_buffers(pa.int64(), self.size, [None, pa.py_buffer(times)])

    def _texts(self, digits: bytes, width: int, is_there: bytes | None = None) -> ArrowArray:
        import pyarrow as pa

        validity = None if is_there is None else pa.py_buffer(is_there)
        # Offsets of more texts than there are do as well, and the next group has another size.
        offsets = _offsets(width, 1 << self.size.bit_length())
        return pa.Array.from_buffers(pa.string(), self.size, [validity, offsets, pa.py_buffer(digits)])


def coded_group(
    shape: SpanShape, columns: _packed.Columns, judgements: Mapping[int, tuple[CapturedEvent, ...]]
) -> CodedGroup:
    """Return what compiled code has made of spans of `shape`."""
    _, size, trace_ids, span_ids, parents, has_parent, starts, ends, values = columns
    return CodedGroup(
        shape=shape,
        size=size,
        trace_ids=trace_ids,
        span_ids=span_ids,
        parents=parents,
        has_parent=has_parent,
        starts=starts,
        ends=ends,
        leading=values[:_LEADING_VALUES],
        values=values[_LEADING_VALUES:],
        judgements=judgements,
    )


def _integers(digits: bytes, width: int) -> list[int]:
    return [_integer(digits, row, width) for row in range(len(digits) // width)]


def _integer(digits: bytes, row: int, width: int) -> int:
    return int(digits[row * width : (row + 1) * width], 16)


@functools.lru_cache(maxsize=4)
def _offsets(width: int, texts: int) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(array("i", range(0, width * texts + 1, width)))
