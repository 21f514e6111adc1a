"""Values of a finished span of the OpenTelemetry SDK: a record on the application's thread, the rest on the writer's.

A record is an exact tuple of atoms and of the dicts that the ended, frozen span leaves behind: Python's garbage
collector stops looking at such tuples after their first collection, while thousands of live spans, or of instances of
any class, slow every collection of the host application.
"""

# ruff: noqa: SLF001  see `span_record`

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.collector.text_sizes import MAX_VALUE_LENGTH, shortened, text_size

# trace id, span id, parent, name, kind, start, end, status, attributes, events, resource, scope name, scope version,
# is sampled, trace state, dropped attributes, estimated size in bytes
SpanRecord: TypeAlias = tuple[Any, ...]
_Events: TypeAlias = tuple[tuple[str, dict[str, Any], int], ...]  # name, attributes, time in ns
Resources: TypeAlias = dict[int, Mapping[str, Any]]

# The API numbers span kinds from 0 (internal), OTLP from 1.
_OTLP_KIND_OFFSET = 1
# What a record weighs apart from its attributes and events: two tuples, two ids, two times, its place in the queue.
_RECORD_BYTES = 480
# What one attribute weighs beside the characters of its text: its place in the dict, which is on average two thirds
# full, and the header of its text. Its name is shared.
_ATTRIBUTE_BYTES = 100
# An event is a tuple and a dict with a few attributes.
_EVENT_BYTES = 360
# An application has one resource; one that makes a new one for every span must not fill this table.
_MAX_RESOURCES = 64


def span_record(span: Any, resources: Resources) -> SpanRecord:
    """Return the values of an ended `ReadableSpan`, so that the span itself can be freed.

    `resources` gives each record's resource, by the number in the record; it is filled here.
    """
    # Private attributes are read 3 times faster than properties, and a span's attributes 25 times faster than through
    # their read-only view; nobody changes their dict after the span has ended. Hence the way back, and a test that
    # notices when the SDK changes them.
    try:
        trace_id, span_id, _, flags, trace_state, _ = span._context
        bounded, parent, scope = span._attributes, span._parent, span._instrumentation_scope
        attributes = bounded._dict
        ended = span._events._dq
        events = tuple([(event._name, event._attributes._dict, event._timestamp) for event in ended]) if ended else ()
        resource, name, dropped = id(span._resource), span._name, bounded.dropped
        kind, status = span._kind._value_, span._status._status_code._value_
        start, end = span._start_time, span._end_time
        scope_name, scope_version = (None, None) if scope is None else (scope._name, scope._version)
        parent_id = None if parent is None else parent.span_id
    except (AttributeError, TypeError, ValueError):
        return _public_record(span, resources)
    number = resource if resource in resources else _resource_number(span.resource, resources)
    text = text_size(attributes) + len(name)
    for _, values, _ in events:
        text += text_size(values)
    if text > MAX_VALUE_LENGTH:  # else no single value can be too long
        name, attributes, events, text = _shortened(name, attributes, events)
    size = _RECORD_BYTES + _ATTRIBUTE_BYTES * len(attributes) + _EVENT_BYTES * len(events) + text
    return (
        trace_id,
        span_id,
        parent_id,
        name,
        kind + _OTLP_KIND_OFFSET,
        start,
        end,
        status,
        attributes,
        events,
        number,
        scope_name,
        scope_version,
        flags & 1 == 1,
        trace_state.to_header() if trace_state else "",
        dropped,
        size,
    )


def _public_record(span: ReadableSpan, resources: Resources) -> SpanRecord:
    context, scope, parent = span.context, span.instrumentation_scope, span.parent
    given = tuple((event.name, dict(event.attributes or {}), event.timestamp) for event in span.events)
    name, attributes, events, text = _shortened(span.name, dict(span.attributes or {}), given)
    return (
        context.trace_id,
        context.span_id,
        None if parent is None else parent.span_id,
        name,
        span.kind.value + _OTLP_KIND_OFFSET,
        span.start_time,
        span.end_time,
        span.status.status_code.value,
        attributes,
        events,
        _resource_number(span.resource, resources),
        None if scope is None else scope.name,
        None if scope is None else scope.version,
        context.trace_flags.sampled,
        context.trace_state.to_header() if context.trace_state else "",
        span.dropped_attributes,
        _RECORD_BYTES + _ATTRIBUTE_BYTES * len(attributes) + _EVENT_BYTES * len(events) + text,
    )


def _shortened(name: str, attributes: dict[str, Any], events: _Events) -> tuple[str, dict[str, Any], _Events, int]:
    name, attributes = name[:MAX_VALUE_LENGTH], shortened(attributes)
    events = tuple((event[:MAX_VALUE_LENGTH], shortened(values), time_ns) for event, values, time_ns in events)
    return (
        name,
        attributes,
        events,
        len(name) + text_size(attributes) + sum(text_size(values) for _, values, _ in events),
    )


def captured_span(record: Sequence[Any], resources: Mapping[int, Mapping[str, Any]]) -> CapturedSpan:
    """Return the values of `record` under their names."""
    trace_id, span_id, parent_span_id, name, kind, start, end, status, attributes, events, resource, *rest = record
    scope_name, scope_version, is_sampled, trace_state, dropped_attributes, _ = rest
    return CapturedSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
        name=name,
        kind=kind,
        start_ns=int(start or 0),  # applications that pass their own time pass floats, too
        end_ns=int(end or 0),
        status_code=status,
        attributes=attributes,
        events=tuple([CapturedEvent(*event) for event in events]) if events else (),
        resource=resources[resource] if isinstance(resource, int) else resource,
        scope_name=scope_name,
        scope_version=scope_version,
        is_sampled=is_sampled,
        trace_state=trace_state,
        dropped_attributes=dropped_attributes,
    )


def _resource_number(resource: Resource, resources: Resources) -> int | Mapping[str, Any]:
    number = id(resource)
    if number in resources:
        return number
    if len(resources) >= _MAX_RESOURCES:
        return resource.attributes
    resources[number] = _KeptResource(resource)
    return number


class _KeptResource(dict[str, Any]):
    """The attributes of a resource, which is kept too, so that its number is not given to another one."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes)
        self._resource = resource
