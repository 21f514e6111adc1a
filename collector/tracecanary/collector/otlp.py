"""Decoding OTLP trace requests, protobuf and JSON, into captured spans.

An id of the wrong length decodes to 0, which is no valid id: `CapturedSpan.is_valid` tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tracecanary.collector.captured import ERROR, CapturedEvent, CapturedSpan
from tracecanary.collector.otlp_text import with_readable_text
from tracecanary.collector.otlp_values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    json_attributes,
    json_enum,
    json_id,
    json_integer,
    json_object,
    json_objects,
    json_text,
    protobuf_attributes,
    protobuf_id,
)
from tracecanary.schema import MalformedInputError

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

_SAMPLED_FLAG = 1
_SPAN_KINDS = tuple(
    f"SPAN_KIND_{name}" for name in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
)
_STATUS_CODES = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")
# The W3C trace flags are the low byte of Span.flags.
_TRACE_FLAGS = 0xFF


def spans_from_protobuf(body: bytes) -> list[CapturedSpan]:
    """Decode an `ExportTraceServiceRequest` in protobuf.

    Raises:
        MalformedInputError: `body` is no such message.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        mended = with_readable_text(body, ExportTraceServiceRequest)
        if mended is None:
            raise MalformedInputError(f"this is no OTLP trace request in protobuf: {error}") from error
        request.ParseFromString(mended)
    return [span for resource_spans in request.resource_spans for span in _protobuf_spans(resource_spans)]


def spans_from_json(body: str | bytes) -> list[CapturedSpan]:
    """Decode an `ExportTraceServiceRequest` in OTLP/JSON.

    Raises:
        MalformedInputError: `body` is no JSON, or not of that shape.
    """
    try:
        request = json_object(json.loads(body))
        return [span for item in json_objects(request, "resourceSpans") for span in _json_spans(item)]
    except (ValueError, OverflowError, RecursionError) as error:
        raise MalformedInputError(f"this is no OTLP trace request in JSON: {error}") from error


def _protobuf_spans(resource_spans: ResourceSpans) -> Iterator[CapturedSpan]:
    resource = protobuf_attributes(resource_spans.resource.attributes)
    for scope_spans in resource_spans.scope_spans:
        scope = scope_spans.scope
        for span in scope_spans.spans:
            yield protobuf_span(span, resource, scope.name, scope.version)


def protobuf_span(span: Span, resource: Mapping[str, Any], scope_name: str, scope_version: str) -> CapturedSpan:
    """Return the values of a `Span`."""
    return CapturedSpan(
        trace_id=protobuf_id(span.trace_id, TRACE_ID_BYTES),
        span_id=protobuf_id(span.span_id, SPAN_ID_BYTES),
        parent_span_id=protobuf_id(span.parent_span_id, SPAN_ID_BYTES) or None,
        name=span.name,
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status_code=span.status.code,
        attributes=protobuf_attributes(span.attributes),
        events=tuple(map(protobuf_event, span.events)),
        resource=resource,
        scope_name=scope_name,
        scope_version=scope_version,
        is_sampled=is_sampled(span.flags),
        trace_state=span.trace_state,
        dropped_attributes=span.dropped_attributes_count,
        status_message=status_message(span.status),
    )


def status_message(status: Status) -> str:
    """Return what a `Status` says of a failure; nothing of any other."""
    return status.message if status.code == ERROR else ""


def protobuf_event(event: Span.Event) -> CapturedEvent:
    """Return the values of an event of a span."""
    return CapturedEvent(event.name, protobuf_attributes(event.attributes), event.time_unix_nano)


def is_sampled(flags: int) -> bool:
    """Tell whether `Span.flags` say that the span was sampled; without any trace flags it was."""
    # Exporters send what the sampler kept, and Python's (1.45) leaves the trace flags out: none at all means unknown.
    trace_flags = flags & _TRACE_FLAGS
    return not trace_flags or bool(trace_flags & _SAMPLED_FLAG)


def _json_spans(resource_spans: Mapping[str, Any]) -> Iterator[CapturedSpan]:
    resource = json_attributes(json_object(resource_spans.get("resource")))
    for scope_spans in json_objects(resource_spans, "scopeSpans"):
        scope = json_object(scope_spans.get("scope"))
        for span in json_objects(scope_spans, "spans"):
            status = json_object(span.get("status"))
            status_code = json_enum(status.get("code"), _STATUS_CODES)
            yield CapturedSpan(
                trace_id=json_id(span, "traceId", TRACE_ID_BYTES),
                span_id=json_id(span, "spanId", SPAN_ID_BYTES),
                parent_span_id=json_id(span, "parentSpanId", SPAN_ID_BYTES) or None,
                name=json_text(span, "name"),
                kind=json_enum(span.get("kind"), _SPAN_KINDS),
                start_ns=json_integer(span.get("startTimeUnixNano")),
                end_ns=json_integer(span.get("endTimeUnixNano")),
                status_code=status_code,
                attributes=json_attributes(span),
                events=tuple(
                    CapturedEvent(
                        json_text(event, "name"), json_attributes(event), json_integer(event.get("timeUnixNano"))
                    )
                    for event in json_objects(span, "events")
                ),
                resource=resource,
                scope_name=json_text(scope, "name"),
                scope_version=json_text(scope, "version"),
                is_sampled=is_sampled(json_integer(span.get("flags"))),
                trace_state=json_text(span, "traceState"),
                dropped_attributes=json_integer(span.get("droppedAttributesCount")),
                status_message=json_text(status, "message") if status_code == ERROR else "",
            )
