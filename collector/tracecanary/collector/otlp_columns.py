"""OTLP trace requests by columns: the spans that `otlp.spans_from_protobuf` gives, at a tenth of the cost.

Spans that hold nothing but attributes to read become columns of their shape; the others are given one by one. What is
out of the ordinary (an id of the wrong length, damage) is left to the decoder of single spans, which tells what is
wrong.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tracecanary.collector.attributes import EVALUATION_EVENT
from tracecanary.collector.captured import ERROR, CapturedEvent, CapturedSpan
from tracecanary.collector.column_values import ArrowArray, Typed, Values, coded_values, length_bounds
from tracecanary.collector.evaluations import evaluation_forms
from tracecanary.collector.events import TOOL_MESSAGE_EVENT, WANTED_EVENTS
from tracecanary.collector.otlp import is_sampled, status_message
from tracecanary.collector.otlp_attributes import AttributeLists
from tracecanary.collector.otlp_contexts import read_resource, read_scope
from tracecanary.collector.otlp_lean import LeanDecoders, lean_decoders
from tracecanary.collector.sent_spans import is_sent_row
from tracecanary.collector.shaped_spans import ShapedSpan, SpanColumnGroup, SpanShape, captured_span
from tracecanary.collector.span_fields import AttributeColumns, SpanFields, durations, hex_texts

# Spans with one of these are read one by one; those that were judged, only for the judgement.
KEPT_EVENTS = (WANTED_EVENTS | {TOOL_MESSAGE_EVENT}) - {EVALUATION_EVENT}
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedColumns:
    """Spans of several requests, and how many each request has."""

    groups: Sequence[SpanColumnGroup]
    single: Sequence[CapturedSpan]
    spans_by_request: Sequence[int]


def columns_from_protobuf(bodies: Sequence[bytes]) -> DecodedColumns | None:
    """Decode `ExportTraceServiceRequest`s; None when a span or body among them has to be looked at on its own."""
    decoders = lean_decoders()
    if decoders is None:
        return None
    from google.protobuf.message import DecodeError

    try:
        return _Requests(decoders, bodies).decoded()
    except (DecodeError, ValueError, TypeError, ArithmeticError, LookupError):  # damaged, or text that is no UTF-8
        return None


class _OddSpanError(ValueError):
    """A span is out of the ordinary."""


class _Requests:
    """The columns of all spans of several requests."""

    def __init__(self, decoders: LeanDecoders, bodies: Sequence[bytes]) -> None:
        self._decoders = decoders
        resource_spans = decoders.requests.list_to_record_batch(list(bodies)).column(0)
        resources = resource_spans.flatten()
        scopes = resources.field("scope_spans").flatten()
        self._spans: ArrowArray = scopes.field("spans").flatten()
        self._resource_ends = _ends(resources.field("scope_spans"))
        self._scope_ends = _ends(scopes.field("spans"))
        self._request_ends = _ends(resource_spans)
        self._resources: list[bytes] = resources.field("resource").to_pylist()
        self._scopes: list[bytes] = scopes.field("scope").to_pylist()

    def decoded(self) -> DecodedColumns:
        ends = [0, *self._scope_ends]
        by_resource = [0, *(ends[end] for end in self._resource_ends)]
        by_request = [by_resource[end] for end in self._request_ends]
        counts = [end - start for start, end in zip([0, *by_request], by_request, strict=False)]
        if not len(self._spans):
            return DecodedColumns(groups=(), single=(), spans_by_request=counts)
        groups, single = _Spans(self._decoders, self._spans, self._contexts()).decoded()
        return DecodedColumns(groups=groups, single=single, spans_by_request=counts)

    def _contexts(self) -> list[tuple[bytes, bytes, int]]:
        """Return resource, scope and number of spans of each `ScopeSpans`."""
        contexts, start, first = [], 0, 0
        for resource, end in zip(self._resources, self._resource_ends, strict=True):
            for index in range(first, end):
                contexts.append((resource, self._scopes[index], self._scope_ends[index] - start))
                start = self._scope_ends[index]
            first = end
        return contexts


class _Spans:
    """Spans of many requests, of which some are read by columns, and those that are out of the ordinary one by one."""

    def __init__(self, decoders: LeanDecoders, spans: ArrowArray, contexts: Sequence[tuple[bytes, bytes, int]]) -> None:
        import pyarrow as pa

        self._decoders = decoders
        self.trace_ids = _checked_ids(spans.field("trace_id"), _TRACE_ID_BYTES)
        self.span_ids = _checked_ids(spans.field("span_id"), _SPAN_ID_BYTES)
        self.parents = _parents(spans.field("parent_span_id"))
        # Raises where a time does not fit.
        self.starts, self.ends = (spans.field(name).cast(pa.int64()) for name in ("start", "end"))
        self.names, self.dropped = spans.field("name"), spans.field("dropped").cast(pa.int64())
        statuses = _distinct(spans.field("status"), _status)
        self.statuses, self.status_messages = (([one[place] for one in statuses[0]], statuses[1]) for place in (0, 1))
        self.are_sampled = _distinct(spans.field("flags"), is_sampled)
        self.trace_states = _distinct(spans.field("trace_state"), str)
        self.attributes = AttributeLists(decoders, spans.field("attributes"))
        self._kinds = spans.field("kind")
        self._events = spans.field("events")
        self._contexts = contexts

    def decoded(self) -> tuple[list[SpanColumnGroup], list[CapturedSpan]]:
        """Return the spans by shape, and those that have to be read one by one."""
        told, judged = self._with_events(KEPT_EVENTS), self._with_events({EVALUATION_EVENT})
        is_odd = [status == ERROR for status in self.statuses[0]]
        odd = _either(told, _taken(is_odd, self.statuses[1]))
        judgements = self._judgements(judged)
        groups: list[SpanColumnGroup] = []
        single: list[CapturedSpan] = []
        for shape, rows in self._shapes():
            # What can't be told apart by names, or by whom it was judged, is read one by one.
            is_unclear = len(set(shape.attributes)) < len(shape.attributes)
            is_judged_twice = judged is not None and (
                evaluation_forms(shape.attributes) or is_sent_row(shape.attributes)
            )
            if is_unclear or is_judged_twice:
                single += self._captured(shape, rows)
                continue
            plain, rest = (rows, None) if odd is None else _parted(rows, odd)
            if rest is not None and len(rest):
                single += self._captured(shape, rest)
            if len(plain):
                found = [] if judged is None else _parted(plain, judged)[1].to_pylist()
                groups.append(_Group(self, shape, plain, [judgements[row] for row in found]))
        return groups, single

    def _shapes(self) -> Iterator[tuple[SpanShape, ArrowArray]]:
        """Return the shapes that there are, and the rows of each in ascending order."""
        import pyarrow as pa
        import pyarrow.compute as pc

        distinct: dict[tuple[bytes, bytes], int] = {}
        contexts = array("i")
        for resource, scope, spans in self._contexts:
            contexts += array("i", [distinct.setdefault((resource, scope), len(distinct))]) * spans
        kinds, names = self._kinds.dictionary_encode(), self.attributes.names_keys.dictionary_encode()
        joint: ArrowArray = pa.Array.from_buffers(pa.int32(), len(contexts), [None, pa.py_buffer(contexts)])
        joint = joint.cast(pa.int64())
        for encoded in (kinds, names):
            joint = pc.add_checked(
                pc.multiply_checked(joint, len(encoded.dictionary)), encoded.indices.cast(pa.int64())
            )
        shapes: ArrowArray = joint.dictionary_encode()
        by_shape = pc.array_sort_indices(shapes.indices)  # a stable sort: rows stay in order
        counted: ArrowArray = pc.value_counts(shapes.indices)
        counts = {one["values"]: one["counts"] for one in counted.to_pylist()}
        in_order, start = list(distinct), 0
        for number, code in enumerate(shapes.dictionary.to_pylist()):
            rows = by_shape.slice(start, counts[number])
            start += counts[number]
            context, kind = divmod(code // len(names.dictionary), len(kinds.dictionary))
            resource, scope = in_order[context]
            attributes = self.attributes.names(rows[0].as_py())
            yield (
                SpanShape(attributes, kinds.dictionary[kind].as_py(), read_resource(resource), *read_scope(scope)),
                rows,
            )

    def _with_events(self, wanted: Iterable[str]) -> ArrowArray | None:
        """Return for each span whether it has an event of these names; None when no span has."""
        import pyarrow as pa
        import pyarrow.compute as pc

        encoded = self._events.flatten().field("name").dictionary_encode()
        is_wanted = [name in wanted for name in encoded.dictionary.to_pylist()]
        if not any(is_wanted):
            return None
        parents = pc.list_parent_indices(self._events).filter(pa.array(is_wanted).take(encoded.indices))
        return pc.is_in(pa.array(range(len(self._events)), parents.type), value_set=pc.unique(parents))

    def _captured(self, shape: SpanShape, rows: ArrowArray) -> list[CapturedSpan]:
        """Return the spans of `rows` with their events."""
        spans = _Group(self, shape, rows, []).spans
        events = self._captured_events(rows)
        return [captured_span(shape, span)._replace(events=told) for span, told in zip(spans, events, strict=True)]

    def _judgements(self, judged: ArrowArray | None) -> dict[int, CapturedSpan]:
        """Return, by row, what judgements are read from: ids, end and events of a span."""
        if judged is None:
            return {}
        import pyarrow.compute as pc

        rows: ArrowArray = pc.indices_nonzero(judged)
        return dict(zip(rows.to_pylist(), self._captured(SpanShape((), 0, {}, None, None), rows), strict=True))

    def _captured_events(self, rows: ArrowArray) -> list[tuple[CapturedEvent, ...]]:
        lists = self._events.take(rows)
        events, ends = lists.flatten(), lists.offsets.to_pylist()
        told = zip(
            events.field("name").to_pylist(),
            AttributeLists(self._decoders, events.field("attributes")).mappings(),
            events.field("time").to_pylist(),
            strict=True,
        )
        captured = [CapturedEvent(*event) for event in told]
        return [tuple(captured[start:end]) for start, end in itertools.pairwise(ends)]


@dataclass(frozen=True, slots=True)
class _Group:
    """Some spans of one shape."""

    source: _Spans
    shape: SpanShape
    rows: ArrowArray
    judged: Sequence[CapturedSpan]

    @property
    def size(self) -> int:
        """How many spans there are."""
        return len(self.rows)

    @property
    def spans(self) -> Iterable[ShapedSpan]:
        """The spans as rows, which are made when they are read."""
        source, rows = self.source, self.rows
        none: list[Any] = [()] * self.size
        ids = (source.trace_ids, source.span_ids, source.parents)
        trace_ids, span_ids, parents = (_integers(values.take(rows)) for values in ids)
        names, starts, ends = (values.take(rows).to_pylist() for values in (source.names, source.starts, source.ends))
        statuses, sampled, states = (
            _picked(values, rows).rows() for values in (source.statuses, source.are_sampled, source.trace_states)
        )
        dropped = source.dropped.take(rows).to_pylist()
        attributes = [column().rows() for column in source.attributes.columns(rows)] if self.shape.attributes else []
        said = _picked(source.status_messages, rows).rows()
        own = (none, trace_ids, span_ids, parents, names, starts, ends, statuses, none, sampled, states, dropped, said)
        return zip(*own, *attributes, strict=True)

    def fields(self) -> SpanFields:
        """Return the columns."""
        source, rows = self.source, self.rows
        starts, ends = source.starts.take(rows), source.ends.take(rows)
        return SpanFields(
            trace_ids=hex_texts(source.trace_ids.take(rows)),
            span_ids=hex_texts(source.span_ids.take(rows)),
            parents=hex_texts(source.parents.take(rows)),
            starts=starts,
            durations=durations(starts, ends),
            names=Typed(source.names.take(rows)),
            statuses=_picked(source.statuses, rows),
            are_sampled=_picked(source.are_sampled, rows),
            trace_states=_picked(source.trace_states, rows),
            dropped=Typed(source.dropped.take(rows)),
            attributes=AttributeColumns(self.shape, source.attributes.columns(rows)),
            events=None,
        )


def _ends(lists: ArrowArray) -> list[int]:
    offsets: list[int] = lists.offsets.to_pylist()
    return offsets[1:]


def _checked_ids(ids: ArrowArray, size: int) -> ArrowArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    no_id: ArrowArray = pa.scalar(bytes(size), ids.type)
    if length_bounds(ids) != (size, size) or pc.any(pc.equal(ids, no_id)).as_py():
        raise _OddSpanError("an id")
    return ids


def _parents(ids: ArrowArray) -> ArrowArray:
    """Return the ids of parents, null where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths: ArrowArray = pc.binary_length(ids)
    no_id: ArrowArray = pa.scalar(bytes(_SPAN_ID_BYTES), ids.type)
    size: ArrowArray = pa.scalar(_SPAN_ID_BYTES, lengths.type)
    is_one = pc.and_(pc.equal(lengths, size), pc.not_equal(ids, no_id))
    return pc.if_else(is_one, ids, pa.scalar(None, ids.type))


def _integers(ids: ArrowArray) -> list[int]:
    return [0 if one is None else int.from_bytes(one) for one in ids.to_pylist()]


def _distinct(values: ArrowArray, read: Callable[[Any], Any]) -> tuple[list[Any], ArrowArray]:
    """Return what `read` makes of each distinct value, and the place of each row's among them."""
    encoded = values.dictionary_encode()
    return [read(value) for value in encoded.dictionary.to_pylist()], encoded.indices


def _picked(values: tuple[list[Any], ArrowArray], rows: ArrowArray) -> Values:
    distinct, codes = values
    return coded_values(distinct, codes.take(rows))


def _taken(values: list[bool], codes: ArrowArray) -> ArrowArray | None:
    import pyarrow as pa

    return pa.array(values).take(codes) if any(values) else None


def _either(one: ArrowArray | None, other: ArrowArray | None) -> ArrowArray | None:
    import pyarrow.compute as pc

    return pc.or_(one, other) if one is not None and other is not None else one if other is None else other


def _parted(rows: ArrowArray, mask: ArrowArray) -> tuple[ArrowArray, ArrowArray]:
    """Return the rows where `mask` is false, and those where it is true."""
    import pyarrow.compute as pc

    is_set = mask.take(rows)
    return rows.filter(pc.invert(is_set)), rows.filter(is_set)


def _status(serialised: bytes) -> tuple[int, str]:
    from opentelemetry.proto.trace.v1.trace_pb2 import Status

    status = Status.FromString(serialised)
    return status.code, status_message(status)
