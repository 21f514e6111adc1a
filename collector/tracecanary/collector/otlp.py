"""Decoding OTLP trace requests, protobuf and JSON, into captured spans.

OTLP/JSON is not plain protobuf JSON: ids are hex, 64-bit integers are strings, enums are integers, and unknown fields
are ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tracecanary.collector.captured import CapturedSpan
from tracecanary.schema import MalformedInputError

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

# Span.flags, bit 0 of the W3C trace flags.
_SAMPLED_FLAG = 1


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
        raise MalformedInputError(f"this is no OTLP trace request in protobuf: {error}") from error
    return [span for resource_spans in request.resource_spans for span in _protobuf_spans(resource_spans)]


def spans_from_json(body: str | bytes) -> list[CapturedSpan]:
    """Decode an `ExportTraceServiceRequest` in OTLP/JSON.

    Raises:
        MalformedInputError: `body` is no JSON, or not of that shape.
    """
    try:
        request = json.loads(body)
        return [span for item in request.get("resourceSpans", ()) for span in _json_spans(item)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedInputError(f"this is no OTLP trace request in JSON: {error!r}") from error


def _protobuf_spans(resource_spans: ResourceSpans) -> Iterator[CapturedSpan]:
    resource = _protobuf_attributes(resource_spans.resource.attributes)
    for scope_spans in resource_spans.scope_spans:
        scope = scope_spans.scope
        for span in scope_spans.spans:
            yield CapturedSpan(
                trace_id=int.from_bytes(span.trace_id),
                span_id=int.from_bytes(span.span_id),
                parent_span_id=int.from_bytes(span.parent_span_id) or None,
                name=span.name,
                kind=span.kind,
                start_ns=span.start_time_unix_nano,
                end_ns=span.end_time_unix_nano,
                status_code=span.status.code,
                attributes=_protobuf_attributes(span.attributes),
                events=tuple((event.name, _protobuf_attributes(event.attributes)) for event in span.events),
                resource=resource,
                scope_name=scope.name,
                scope_version=scope.version,
                is_sampled=bool(span.flags & _SAMPLED_FLAG) or not span.flags,
                trace_state=span.trace_state,
                dropped_attributes=span.dropped_attributes_count,
            )


def _protobuf_attributes(attributes: Any) -> dict[str, Any]:
    items: list[KeyValue] = list(attributes)
    return {item.key: _protobuf_value(item.value) for item in items}


def _protobuf_value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_protobuf_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _protobuf_attributes(value.kvlist_value.values)
    return getattr(value, kind)


def _json_spans(resource_spans: Mapping[str, Any]) -> Iterator[CapturedSpan]:
    resource = _json_attributes(resource_spans.get("resource", {}))
    for scope_spans in resource_spans.get("scopeSpans", ()):
        scope = scope_spans.get("scope", {})
        for span in scope_spans.get("spans", ()):
            flags = int(span.get("flags", 0))
            yield CapturedSpan(
                trace_id=int(span["traceId"], 16),
                span_id=int(span["spanId"], 16),
                parent_span_id=int(span.get("parentSpanId") or "0", 16) or None,
                name=span.get("name", ""),
                kind=int(span.get("kind", 0)),
                start_ns=int(span.get("startTimeUnixNano", 0)),
                end_ns=int(span.get("endTimeUnixNano", 0)),
                status_code=int(span.get("status", {}).get("code", 0)),
                attributes=_json_attributes(span),
                events=tuple((event.get("name", ""), _json_attributes(event)) for event in span.get("events", ())),
                resource=resource,
                scope_name=scope.get("name"),
                scope_version=scope.get("version"),
                is_sampled=bool(flags & _SAMPLED_FLAG) or not flags,
                trace_state=span.get("traceState", ""),
                dropped_attributes=int(span.get("droppedAttributesCount", 0)),
            )


def _json_attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {item["key"]: _json_value(item.get("value", {})) for item in holder.get("attributes", ())}


def _json_value(value: Mapping[str, Any]) -> Any:
    for kind, content in value.items():
        if kind in {"stringValue", "boolValue", "doubleValue"}:
            return content
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [_json_value(item) for item in content.get("values", ())]
        if kind == "kvlistValue":
            return {item["key"]: _json_value(item.get("value", {})) for item in content.get("values", ())}
        if kind == "bytesValue":
            return _bytes_value(content)
    return None


def _bytes_value(text: str) -> bytes | str:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text
