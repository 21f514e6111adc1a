"""Spans of one shape: the same attribute names, scope, kind and resource, so that only their values differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from tracecanary.collector.captured import ERROR, CapturedEvent, CapturedSpan, time_ns
from tracecanary.collector.events import WANTED_EVENTS

if TYPE_CHECKING:
    from tracecanary.collector.span_fields import SpanFields

# Number of the shape, then the values of a `CapturedSpan` that differ between spans of it: events as tuples of name,
# attributes and time; last the values of its attributes.
ShapedSpan: TypeAlias = tuple[Any, ...]
# Places in a shaped span.
SHAPE, TRACE_ID, SPAN_ID, PARENT, NAME, START, END, STATUS, EVENTS, IS_SAMPLED, TRACE_STATE, DROPPED, SAID = range(13)
FIRST_VALUE = 13


class SpanShape(NamedTuple):
    """What spans of one shape share; `kind` is OTLP's enum number, `attributes` are their names."""

    attributes: tuple[str, ...]
    kind: int
    resource: Mapping[str, Any]
    scope_name: str | None
    scope_version: str | None


class SpanGroup(NamedTuple):
    """Spans of one shape."""

    shape: SpanShape
    spans: Sequence[ShapedSpan]

    @property
    def size(self) -> int:
        """How many spans there are."""
        return len(self.spans)


class SpanColumnGroup(Protocol):
    """Spans of one shape by columns: all are valid, none has failed, and no event of theirs tells a column."""

    @property
    def shape(self) -> SpanShape:
        """What they share."""
        ...

    @property
    def size(self) -> int:
        """How many spans there are."""
        ...

    @property
    def spans(self) -> Iterable[ShapedSpan]:
        """The spans as rows, which are made when they are read."""
        ...

    @property
    def judged(self) -> Sequence[CapturedSpan]:
        """Those with evaluation events, to read these from: without attributes."""
        ...

    def fields(self) -> SpanFields:
        """Return the columns."""
        ...


def is_plain(span: ShapedSpan) -> bool:
    """Tell whether a span holds nothing but attributes to read: no failure, and no event that tells something."""
    if span[STATUS] == ERROR:
        return False
    events = span[EVENTS]
    return not events or WANTED_EVENTS.isdisjoint([event[0] for event in events])


def shaped_span(span: CapturedSpan, number: int = 0) -> ShapedSpan:
    """Return the values of `span`, of the shape with this number."""
    return (
        number,
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.start_ns,
        span.end_ns,
        span.status_code,
        tuple([tuple(event) for event in span.events]) if span.events else (),
        span.is_sampled,
        span.trace_state,
        span.dropped_attributes,
        span.status_message,
        *span.attributes.values(),
    )


def captured_span(shape: SpanShape, span: ShapedSpan) -> CapturedSpan:
    """Return the values of `span`, which is of this shape, under their names."""
    _, trace_id, span_id, parent, name, start, end, status, events, is_sampled, trace_state, dropped, said, *values = (
        span
    )
    return CapturedSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent or None,
        name=name,
        kind=shape.kind,
        start_ns=time_ns(start),
        end_ns=time_ns(end),
        status_code=status,
        attributes=dict(zip(shape.attributes, values, strict=True)),
        events=tuple([CapturedEvent(*event) for event in events]) if events else (),
        resource=shape.resource,
        scope_name=shape.scope_name,
        scope_version=shape.scope_version,
        is_sampled=is_sampled,
        trace_state=trace_state,
        dropped_attributes=dropped,
        status_message=said,
    )


def group_by_shape(spans: Iterable[CapturedSpan]) -> tuple[list[SpanGroup], list[CapturedSpan]]:
    """Return spans by shape, and those that have to be read one by one."""
    shapes: dict[Any, tuple[SpanShape, list[ShapedSpan]]] = {}
    single: list[CapturedSpan] = []
    for span in spans:
        try:
            shaped = shaped_span(span)
            if not is_plain(shaped):
                single.append(span)
                continue
            names = tuple(span.attributes)
            # A resource can't be hashed; while its span is held, no other one gets its id.
            key = (names, span.kind, id(span.resource), span.scope_name, span.scope_version)
            if key not in shapes:
                shape = SpanShape(names, span.kind, span.resource, span.scope_name, span.scope_version)
                shapes[key] = (shape, [])
            shapes[key][1].append(shaped)
        except Exception:  # noqa: BLE001  what it holds is looked at when it is read
            single.append(span)
    return [SpanGroup(shape, members) for shape, members in shapes.values()], single
