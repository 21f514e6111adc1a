"""Spans of one shape as compiled code gives them: distinct values and codes, so that what repeats is read once."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.column_values import ArrowArray, Constant, Values, coded_values
from tracecanary.collector.shaped_spans import ShapedSpan, SpanShape
from tracecanary.collector.span_fields import AttributeColumns, SpanFields, durations

if TYPE_CHECKING:
    import pyarrow as pa

_TRACE_ID_DIGITS, _SPAN_ID_DIGITS = 32, 16
# The values that differ, and for each span, in 32 bits, the place of its own; None when all have the one.
CodedColumn: TypeAlias = tuple[list[Any], bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedGroup:
    """Spans of one shape: all are valid, none has failed or has events that tell something. See `SpanColumnGroup`.

    Attributes:
        shape: What they share.
        size: How many there are.
        trace_ids: As hex digits, those of all spans in a row; likewise the other ids.
        has_parent: A bit for each span; None when all have a parent.
        starts: In 64 bits each, like `ends`.
        leading: Names, trace states, statuses, whether they are sampled, dropped attributes.
        values: Of each attribute of the shape.
        unpack: Makes the spans as rows.
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
    unpack: Callable[[], Iterator[ShapedSpan]]

    @property
    def spans(self) -> Iterator[ShapedSpan]:
        """The spans as rows, which are made when they are read."""
        return self.unpack()

    @property
    def judged(self) -> Sequence[CapturedSpan]:
        """None: they have no events."""
        return ()

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

        distinct, codes = column
        if codes is None:
            return Constant(distinct[0], self.size)
        return coded_values(distinct, pa.Array.from_buffers(pa.int32(), self.size, [None, pa.py_buffer(codes)]))

    def _times(self, times: bytes) -> ArrowArray:
        import pyarrow as pa

        return pa.Array.from_buffers(pa.int64(), self.size, [None, pa.py_buffer(times)])

    def _texts(self, digits: bytes, width: int, is_there: bytes | None = None) -> ArrowArray:
        import pyarrow as pa

        validity = None if is_there is None else pa.py_buffer(is_there)
        # Offsets of more texts than there are do as well, and the next group has another size.
        offsets = _offsets(width, 1 << self.size.bit_length())
        return pa.Array.from_buffers(pa.string(), self.size, [validity, offsets, pa.py_buffer(digits)])


@functools.lru_cache(maxsize=4)
def _offsets(width: int, texts: int) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(array("i", range(0, width * texts + 1, width)))
