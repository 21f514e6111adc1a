"""OTLP trace requests by columns: the spans that `otlp.spans_from_protobuf` gives, at a tenth of the cost.

Spans that hold nothing but attributes to read become columns of their shape; the others are given one by one. What is
out of the ordinary (an id of the wrong length, damage) is left to the decoder of single spans, which tells what is
wrong.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.collector.events import TOOL_MESSAGE_EVENT, WANTED_EVENTS
from tracecanary.collector.otlp import is_sampled
from tracecanary.collector.otlp_lean import LeanDecoders, lean_decoders
from tracecanary.collector.otlp_values import protobuf_attributes, protobuf_value
from tracecanary.collector.shaped_spans import ERROR, SpanColumnGroup, SpanShape

# The stubs give nested arrays no members, and every value may be None, which required fields never are.
ArrowArray: TypeAlias = Any
_KEPT_EVENTS = WANTED_EVENTS | {TOOL_MESSAGE_EVENT}
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_NO_ID = frozenset({bytes(_TRACE_ID_BYTES), bytes(_SPAN_ID_BYTES)})
_TIME_LIMIT_NS = 2**63
_INT32_BYTES = 4
# Kept between requests, since the normaliser knows a resource by its identity.
_MAX_RESOURCES = 512


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
    """The columns of spans, by shape or one by one."""

    def __init__(self, decoders: LeanDecoders, spans: ArrowArray, contexts: Sequence[tuple[bytes, bytes, int]]) -> None:
        self._rows = len(spans)
        self._trace_ids = _ids(spans.field("trace_id"), _TRACE_ID_BYTES)
        self._span_ids = _ids(spans.field("span_id"), _SPAN_ID_BYTES)
        self._parents = [
            int.from_bytes(parent) if len(parent) == _SPAN_ID_BYTES else 0
            for parent in spans.field("parent_span_id").to_pylist()
        ]
        self._starts, self._ends = _times(spans.field("start")), _times(spans.field("end"))
        self._names = _distinct(spans.field("name"), str)
        self._kinds: list[int] = spans.field("kind").to_pylist()
        self._statuses = _distinct(spans.field("status"), _status)
        self._is_sampled = _distinct(spans.field("flags"), is_sampled)
        self._trace_states = _distinct(spans.field("trace_state"), str)
        self._dropped: list[int] = spans.field("dropped").to_pylist()
        self._contexts = contexts
        self._attributes = _Attributes(decoders, spans.field("attributes"))
        self._events = spans.field("events")
        self._event_attributes: _Attributes | None = None
        self._decoders = decoders

    def decoded(self) -> tuple[list[SpanColumnGroup], list[CapturedSpan]]:
        """Return the spans by shape, and those that have to be read one by one."""
        odd = self._with_kept_events()
        odd.update(row for row, status in enumerate(self._statuses) if status == ERROR)
        members: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        names, kinds, row = self._attributes.names_key, self._kinds, 0
        for number, (_, _, spans) in enumerate(self._contexts):
            for one in range(row, row + spans):
                members[(number, kinds[one], names(one))].append(one)
            row += spans
        shaped: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for (number, kind, key), rows in members.items():
            resource, scope, _ = self._contexts[number]
            shaped[(resource, scope, kind, key)] += rows
        groups, single = [], []
        for (resource, scope, kind, _), rows in shaped.items():
            shape = self._shape(resource, scope, kind, rows[0])
            is_unclear = len(set(shape.attributes)) < len(shape.attributes)
            plain = [] if is_unclear else [one for one in rows if one not in odd] if odd else rows
            if plain:
                groups.append(self._group(shape, plain))
            if len(plain) < len(rows):
                single += [self._captured(shape, one) for one in rows if is_unclear or one in odd]
        return groups, single

    def _shape(self, resource: bytes, scope: bytes, kind: int, row: int) -> SpanShape:
        scope_name, scope_version = _scope(scope)
        return SpanShape(self._attributes.names(row), kind, _resource(resource), scope_name, scope_version)

    def _group(self, shape: SpanShape, rows: list[int]) -> SpanColumnGroup:
        def pick(values: list[Any]) -> list[Any]:
            return values if len(rows) == self._rows else [values[row] for row in rows]

        return SpanColumnGroup(
            shape=shape,
            size=len(rows),
            trace_ids=pick(self._trace_ids),
            span_ids=pick(self._span_ids),
            parents=pick(self._parents),
            names=pick(self._names),
            starts=pick(self._starts),
            ends=pick(self._ends),
            statuses=pick(self._statuses),
            values=self._attributes.columns(rows, len(shape.attributes)),
            are_sampled=pick(self._is_sampled),
            trace_states=pick(self._trace_states),
            dropped=pick(self._dropped),
        )

    def _captured(self, shape: SpanShape, row: int) -> CapturedSpan:
        return CapturedSpan(
            trace_id=self._trace_ids[row],
            span_id=self._span_ids[row],
            parent_span_id=self._parents[row] or None,
            name=self._names[row],
            kind=shape.kind,
            start_ns=self._starts[row],
            end_ns=self._ends[row],
            status_code=self._statuses[row],
            attributes=self._attributes.mapping(row),
            events=self._captured_events(row),
            resource=shape.resource,
            scope_name=shape.scope_name,
            scope_version=shape.scope_version,
            is_sampled=self._is_sampled[row],
            trace_state=self._trace_states[row],
            dropped_attributes=self._dropped[row],
        )

    def _with_kept_events(self) -> set[int]:
        """Return the spans with an event that tells something."""
        import pyarrow as pa
        import pyarrow.compute as pc

        encoded = self._events.flatten().field("name").dictionary_encode()
        kept = [name in _KEPT_EVENTS for name in encoded.dictionary.to_pylist()]
        if not any(kept):
            return set()
        is_kept = pa.array(kept).take(encoded.indices)
        return set(pc.list_parent_indices(self._events).filter(is_kept).to_pylist())

    def _captured_events(self, row: int) -> tuple[CapturedEvent, ...]:
        start, end = self._events.offsets[row].as_py(), self._events.offsets[row + 1].as_py()
        if start == end:
            return ()
        events = self._events.flatten()
        if self._event_attributes is None:
            self._event_attributes = _Attributes(self._decoders, events.field("attributes"))
        names, times = events.field("name"), events.field("time")
        return tuple(
            CapturedEvent(names[one].as_py(), self._event_attributes.mapping(one), times[one].as_py())
            for one in range(start, end)
        )


class _Attributes:
    """Lists of attributes, each a serialised `KeyValue`, of which equal ones are decoded once."""

    def __init__(self, decoders: LeanDecoders, lists: ArrowArray) -> None:

        encoded = lists.flatten().dictionary_encode()
        keys, self._values = _key_values(decoders, encoded.dictionary)
        self._offsets: list[int] = lists.offsets.to_pylist()
        self._codes = memoryview(_int32_bytes(encoded.indices)).cast("i")
        numbered = keys.dictionary_encode()
        self._keys: list[str] = numbered.dictionary.to_pylist()
        numbers: ArrowArray = numbered.indices.take(encoded.indices)
        self._key_bytes = _int32_bytes(numbers)
        self._key_codes = memoryview(self._key_bytes).cast("i")

    def names_key(self, row: int) -> bytes:
        """Return what is equal for lists with the same names in the same order."""
        return self._key_bytes[_INT32_BYTES * self._offsets[row] : _INT32_BYTES * self._offsets[row + 1]]

    def names(self, row: int) -> tuple[str, ...]:
        """Return the names of a list."""
        return tuple([self._keys[code] for code in self._key_codes[self._offsets[row] : self._offsets[row + 1]]])

    def mapping(self, row: int) -> dict[str, Any]:
        """Return a list as a dictionary; of equal names the last one stays."""
        codes = self._codes[self._offsets[row] : self._offsets[row + 1]]
        return dict(zip(self.names(row), [self._values[code] for code in codes], strict=True))

    def columns(self, rows: Sequence[int], width: int) -> list[list[Any]]:
        """Return the values of `rows`, which have the same `width` names each, by name."""
        offsets, value = self._offsets, self._values.__getitem__
        first = offsets[rows[0]]
        if offsets[rows[-1] + 1] - first == width * len(rows):  # side by side
            codes = self._codes[first : first + width * len(rows)]
        else:
            parts = [self._codes[offsets[row] : offsets[row] + width] for row in rows]
            codes = memoryview(b"".join(parts)).cast("i")
        return [list(map(value, codes[place::width].tolist())) for place in range(width)]


def _key_values(decoders: LeanDecoders, serialised: ArrowArray) -> tuple[ArrowArray, list[Any]]:
    """Return the keys and values of serialised `KeyValue`s."""
    from opentelemetry.proto.common.v1.common_pb2 import ArrayValue, KeyValueList

    batch = decoders.key_values.array_to_record_batch(serialised)
    kinds = batch.column("value")
    readers: dict[str, Callable[[Any], Any] | None] = {
        "string_value": None,
        "bool_value": None,
        "int_value": None,
        "double_value": None,
        "bytes_value": None,
        "array_value": lambda content: [protobuf_value(one) for one in ArrayValue.FromString(content).values],
        "kvlist_value": lambda content: protobuf_attributes(KeyValueList.FromString(content).values),
    }
    values: list[Any] = [None] * len(serialised)
    for name, read in readers.items():
        column = kinds.field(name)
        if column.null_count == len(column):
            continue
        for index, content in enumerate(column.to_pylist()):
            if content is not None:
                values[index] = content if read is None else read(content)
    return batch.column("key"), values


def _ends(lists: ArrowArray) -> list[int]:
    offsets: list[int] = lists.offsets.to_pylist()
    return offsets[1:]


def _ids(ids: ArrowArray, size: int) -> list[int]:
    texts = ids.to_pylist()
    if set(map(len, texts)) != {size} or not _NO_ID.isdisjoint(texts):
        raise _OddSpanError("an id")
    return list(map(int.from_bytes, texts))


def _times(times: ArrowArray) -> list[int]:
    values: list[int] = times.to_pylist()
    if max(values) >= _TIME_LIMIT_NS:
        raise _OddSpanError("a time")
    return values


def _distinct(values: ArrowArray, read: Callable[[Any], Any]) -> list[Any]:
    """Return what `read` makes of each value, reading equal ones once."""
    encoded = values.dictionary_encode()
    known = [read(value) for value in encoded.dictionary.to_pylist()]
    return known * len(values) if len(known) == 1 else [known[code] for code in encoded.indices.to_pylist()]


def _status(serialised: bytes) -> int:
    from opentelemetry.proto.trace.v1.trace_pb2 import Status

    return Status.FromString(serialised).code if serialised else 0


@functools.lru_cache(maxsize=_MAX_RESOURCES)
def _scope(serialised: bytes) -> tuple[str, str]:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

    scope = InstrumentationScope.FromString(serialised)
    return scope.name, scope.version


@functools.lru_cache(maxsize=_MAX_RESOURCES)
def _resource(serialised: bytes) -> dict[str, Any]:
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    return protobuf_attributes(Resource.FromString(serialised).attributes)


def _int32_bytes(numbers: ArrowArray) -> bytes:
    start = _INT32_BYTES * numbers.offset
    buffer = numbers.buffers()[1]
    return b"" if buffer is None else buffer.to_pybytes()[start : start + _INT32_BYTES * len(numbers)]
