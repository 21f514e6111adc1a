"""Finished spans of the OpenTelemetry SDK, packed on the application's thread and unpacked on the writer's.

A packed span is one piece of bytes: its values by `marshal`, and the number of its shape, which names its attributes.
Python's garbage collector never looks at bytes, while thousands of live spans, dicts or tuples slow every collection of
the host application; and they take a sixth of the memory. The bytes never leave the process.

Where `_packed.c` could be compiled, it packs plain spans in less than half of the time, in a format of its own, and
unpacks them by columns in a twentieth. What it leaves to Python, and everything where it is missing, is packed here.
"""

# ruff: noqa: SLF001  see `SpanPacker.pack`

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from marshal import dumps, loads
from typing import Any, NamedTuple, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan

from tracecanary.collector.captured import ERROR, CapturedEvent, CapturedSpan, time_ns
from tracecanary.collector.coded_spans import CodedGroup, coded_group
from tracecanary.collector.events import TOOL_MESSAGE_EVENT, WANTED_EVENTS
from tracecanary.collector.shaped_spans import (
    EVENTS,
    SHAPE,
    STATUS,
    ShapedSpan,
    SpanGroup,
    SpanShape,
    captured_span,
    shaped_span,
)
from tracecanary.collector.text_sizes import MAX_VALUE_LENGTH, shortened, text_size

try:
    from tracecanary.collector import _packed
except ImportError:  # there was no C compiler when this was installed
    _packed = None  # type: ignore[assignment]


class UnpackedSpan(NamedTuple):
    """A span that can't be packed, such as one with values of an own type; `size` is an estimate in bytes."""

    span: CapturedSpan
    size: int


# What waits in the queue.
PackedSpan: TypeAlias = bytes | UnpackedSpan
# Of all versions of the format, this one is written and read fastest: it looks for no values that occur twice.
_FORMAT = 2
# The API numbers span kinds from 0 (internal), OTLP from 1.
_OTLP_KIND_OFFSET = 1
# The header of the bytes, and their place in the queue.
PACKED_BYTES = 56
# What a span that can't be packed weighs apart from its text: tuples, ids and times; each attribute; each event.
_SPAN_BYTES, _ATTRIBUTE_BYTES, _EVENT_BYTES = 480, 100, 360
# Attribute names with ids in them make shapes without end: spans of those that come later aren't packed.
_MAX_SHAPES = 1_024
# Other events tell nothing that is stored.
_KEPT_EVENTS = WANTED_EVENTS | {TOOL_MESSAGE_EVENT}


class _TooManyShapesError(ValueError):
    """The table of shapes is full."""


class SpanPacker:
    """Packs spans on any thread.

    Unlocked: a shape that two threads meet first at the same time gets two numbers, which does no harm.
    """

    def __init__(self, *, is_accelerated: bool = True) -> None:
        self._native = _packed.Packer(kept_events=_KEPT_EVENTS) if is_accelerated and _packed is not None else None
        # Returns None for what `pack` alone can pack.
        self.pack_plain: Callable[[Any], bytes | None] = _nothing if self._native is None else self._native.pack
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._shapes: dict[int, SpanShape] = {}
        self._resources: list[object] = []  # held, so that no other one gets the id of one
        self._next_number = itertools.count()

    @property
    def is_accelerated(self) -> bool:
        """Whether plain spans are packed by compiled code."""
        return self._native is not None

    def pack(self, span: Any) -> PackedSpan:
        """Return the values of an ended `ReadableSpan`, so that the span itself can be freed."""
        if self._native is not None:
            packed = self._native.pack(span)
            if packed is not None:
                return packed
        return self._pack_by_marshal(span)

    def _pack_by_marshal(self, span: Any) -> PackedSpan:
        # Private attributes are read 3 times faster than properties, and a span's attributes 25 times faster than
        # through their read-only view; nobody changes their dict after the span has ended. Hence the way back, and a
        # test that notices when the SDK changes them.
        try:
            trace_id, span_id, _, flags, trace_state, _ = span._context
            status = span._status
            parent, scope, resource = span._parent, span._instrumentation_scope, span._resource
            bounded, ended = span._attributes, span._events._dq
            attributes = bounded._dict
            scope_name, scope_version = (None, None) if scope is None else (scope._name, scope._version)
            key = (tuple(attributes), span._kind._value_, scope_name, scope_version, id(resource))
            number = self._numbers.get(key)
            if number is None:
                number = self._add_shape(key, resource)
                if self._native is not None:
                    self._native.learn(attributes, span._kind, scope, resource, number)
            packed = dumps(
                (
                    number,
                    trace_id,
                    span_id,
                    None if parent is None else parent.span_id,
                    span._name,
                    span._start_time,
                    span._end_time,
                    status._status_code._value_,
                    _kept(ended) if ended else (),
                    flags & 1 == 1,
                    trace_state.to_header() if trace_state._dict else "",
                    bounded.dropped,
                    status._description or "",
                    *attributes.values(),
                ),
                _FORMAT,
            )
        except (AttributeError, TypeError, ValueError):
            return self._pack_publicly(span)
        # If all of it isn't too long, no single value is.
        return packed if len(packed) <= MAX_VALUE_LENGTH else self._pack_publicly(span)

    def unpack(self, packed: Sequence[PackedSpan]) -> tuple[list[SpanGroup | CodedGroup], list[CapturedSpan]]:
        """Return spans by shape, and those that have to be read one by one."""
        coded, others = _packed.columns(packed) if self._native is not None else ([], packed)
        shapes: dict[int, list[ShapedSpan]] = defaultdict(list)
        single: list[CapturedSpan] = []
        for one in others:
            if isinstance(one, UnpackedSpan):
                single.append(one.span)
                continue
            shaped: ShapedSpan = loads(one)  # noqa: S302  written by this process, and never out of it
            if shaped[STATUS] == ERROR or shaped[EVENTS]:
                single.append(captured_span(self._shapes[shaped[SHAPE]], shaped))
            else:
                shapes[shaped[SHAPE]].append(shaped)
        groups = [SpanGroup(self._shapes[number], spans) for number, spans in shapes.items()]
        return [*groups, *(coded_group(self._shapes[columns[0]], columns, {}) for columns in coded)], single

    def _pack_publicly(self, span: ReadableSpan) -> PackedSpan:
        """Pack by what the SDK documents, with long values cut: slower, and right whatever a span holds."""
        captured, size = _shortened_span(span)
        scope_name, scope_version = captured.scope_name, captured.scope_version
        key = (tuple(captured.attributes), span.kind.value, scope_name, scope_version, id(span.resource))
        number = self._numbers.get(key)
        try:
            return dumps(
                shaped_span(captured, self._add_shape(key, span.resource) if number is None else number), _FORMAT
            )
        except ValueError:  # it holds something that is no atom
            return UnpackedSpan(captured, size)

    def _add_shape(self, key: tuple[Any, ...], resource: Any) -> int:
        if len(self._numbers) >= _MAX_SHAPES:
            raise _TooManyShapesError
        names, kind, scope_name, scope_version, _ = key
        number = next(self._next_number)
        self._shapes[number] = SpanShape(
            attributes=names,
            kind=kind + _OTLP_KIND_OFFSET,
            resource=resource.attributes,
            scope_name=scope_name,
            scope_version=scope_version,
        )
        self._resources.append(resource)
        self._numbers[key] = number
        return number


def size_bytes(packed: PackedSpan) -> int:
    """Return how much memory a packed span takes, roughly."""
    return packed.size if isinstance(packed, UnpackedSpan) else len(packed) + PACKED_BYTES


def _nothing(_: object) -> None:
    return None


def _kept(ended: Iterable[Any]) -> list[Any]:
    return [(event._name, event._attributes._dict, event._timestamp) for event in ended if event._name in _KEPT_EVENTS]


def _is_kept(event_name: object) -> bool:
    return isinstance(event_name, str) and event_name in _KEPT_EVENTS


def _shortened_span(span: ReadableSpan) -> tuple[CapturedSpan, int]:
    """Return the values of `span` with long ones cut, and an estimate of their bytes."""
    context, scope, parent = span.context, span.instrumentation_scope, span.parent
    name, attributes = span.name[:MAX_VALUE_LENGTH], shortened(dict(span.attributes or {}))
    events = [
        (event.name, shortened(dict(event.attributes or {})), event.timestamp)
        for event in span.events
        if _is_kept(event.name)
    ]
    said = (span.status.description or "")[:MAX_VALUE_LENGTH]
    text = len(name) + len(said) + text_size(attributes) + sum(text_size(values) for _, values, _ in events)
    captured = CapturedSpan(
        trace_id=context.trace_id,
        span_id=context.span_id,
        parent_span_id=None if parent is None else parent.span_id,
        name=name,
        kind=span.kind.value + _OTLP_KIND_OFFSET,
        start_ns=time_ns(span.start_time),
        end_ns=time_ns(span.end_time),
        status_code=span.status.status_code.value,
        attributes=attributes,
        events=tuple(CapturedEvent(*event) for event in events),
        resource=span.resource.attributes,
        scope_name=None if scope is None else scope.name,
        scope_version=None if scope is None else scope.version,
        is_sampled=context.trace_flags.sampled,
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        dropped_attributes=span.dropped_attributes,
        status_message=said,
    )
    return captured, _SPAN_BYTES + _ATTRIBUTE_BYTES * len(attributes) + _EVENT_BYTES * len(events) + text
