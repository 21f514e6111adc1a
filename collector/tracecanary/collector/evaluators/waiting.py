"""What an ended span leaves behind, held until it has been judged."""

# ruff: noqa: SLF001  see `own_attributes`

from __future__ import annotations

from typing import Any, NamedTuple

from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.collector.text_sizes import text_size

# The API numbers span kinds from 0 (internal), OTLP from 1.
_OTLP_KIND_OFFSET = 1
_SPAN_BYTES = 500
_ATTRIBUTE_BYTES = 100


class WaitingSpan(NamedTuple):
    """A span with its content, the agent above it, and the memory that takes, roughly."""

    span: CapturedSpan
    agent: str | None
    size_bytes: int


def waiting_span(span: Any, attributes: dict[str, Any], agent: str | None) -> WaitingSpan:
    """Return the values of an ended `ReadableSpan`, whole: an answer that is cut can't be judged."""
    context, scope, parent = span.context, span.instrumentation_scope, span.parent
    events = [(event.name, own_attributes(event), event.timestamp) for event in span.events]
    held = [attributes, *(values for _, values, _ in events)]
    size = _SPAN_BYTES + sum(_ATTRIBUTE_BYTES * len(values) + text_size(values) for values in held)
    captured = CapturedSpan(
        trace_id=context.trace_id,
        span_id=context.span_id,
        parent_span_id=None if parent is None else parent.span_id,
        name=span.name,
        kind=otlp_kind(span),
        start_ns=int(span.start_time or 0),
        end_ns=int(span.end_time or 0),
        status_code=span.status.status_code.value,
        attributes=attributes,
        events=tuple(CapturedEvent(*event) for event in events),
        resource=span.resource.attributes,
        scope_name=None if scope is None else scope.name,
        scope_version=None if scope is None else scope.version,
        is_sampled=context.trace_flags.sampled,
        trace_state="",
        dropped_attributes=span.dropped_attributes,
    )
    return WaitingSpan(captured, agent, size)


def otlp_kind(span: Any) -> int:
    """Return the kind of a span by OTLP's number."""
    kind: int = span.kind.value
    return kind + _OTLP_KIND_OFFSET


def own_attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of an ended span, or of an event, as a dict.

    Their own one is private, and 20 times cheaper than a copy of its read-only view; nobody changes it any more.
    """
    try:
        own = holder._attributes._dict
    except AttributeError:
        own = None
    return own if isinstance(own, dict) else dict(holder.attributes or {})
