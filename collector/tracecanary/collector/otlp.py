"""Decoding OTLP trace requests, protobuf and JSON, into captured spans.

OTLP/JSON is not plain protobuf JSON: ids are hex, 64-bit integers are strings, enums are integers, and unknown fields
are ignored. An id of the wrong length decodes to 0, which is no valid id: `CapturedSpan.is_valid` tells.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.schema import MalformedInputError

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
_SAMPLED_FLAG = 1
# The W3C trace flags are the low byte of Span.flags.
_TRACE_FLAGS = 0xFF
_HEX = re.compile(r"[0-9a-fA-F]*")
_INTEGER = re.compile(r"-?[0-9]{1,20}")


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
        request = _object(json.loads(body))
        return [span for item in _objects(request, "resourceSpans") for span in _json_spans(item)]
    except (ValueError, OverflowError, RecursionError) as error:
        raise MalformedInputError(f"this is no OTLP trace request in JSON: {error}") from error


def _protobuf_spans(resource_spans: ResourceSpans) -> Iterator[CapturedSpan]:
    resource = _protobuf_attributes(resource_spans.resource.attributes)
    for scope_spans in resource_spans.scope_spans:
        scope = scope_spans.scope
        for span in scope_spans.spans:
            yield CapturedSpan(
                trace_id=_id(span.trace_id, _TRACE_ID_BYTES),
                span_id=_id(span.span_id, _SPAN_ID_BYTES),
                parent_span_id=_id(span.parent_span_id, _SPAN_ID_BYTES) or None,
                name=span.name,
                kind=span.kind,
                start_ns=span.start_time_unix_nano,
                end_ns=span.end_time_unix_nano,
                status_code=span.status.code,
                attributes=_protobuf_attributes(span.attributes),
                events=tuple(
                    CapturedEvent(event.name, _protobuf_attributes(event.attributes), event.time_unix_nano)
                    for event in span.events
                ),
                resource=resource,
                scope_name=scope.name,
                scope_version=scope.version,
                is_sampled=_is_sampled(span.flags),
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


def _id(value: bytes, length: int) -> int:
    return int.from_bytes(value) if len(value) == length else 0


def _is_sampled(flags: int) -> bool:
    # Exporters send what the sampler kept, and Python's (1.45) leaves the trace flags out: none at all means unknown.
    trace_flags = flags & _TRACE_FLAGS
    return not trace_flags or bool(trace_flags & _SAMPLED_FLAG)


def _json_spans(resource_spans: Mapping[str, Any]) -> Iterator[CapturedSpan]:
    resource = _json_attributes(_object(resource_spans.get("resource")))
    for scope_spans in _objects(resource_spans, "scopeSpans"):
        scope = _object(scope_spans.get("scope"))
        for span in _objects(scope_spans, "spans"):
            yield CapturedSpan(
                trace_id=_json_id(span, "traceId", _TRACE_ID_BYTES),
                span_id=_json_id(span, "spanId", _SPAN_ID_BYTES),
                parent_span_id=_json_id(span, "parentSpanId", _SPAN_ID_BYTES) or None,
                name=_text(span, "name"),
                kind=_integer(span.get("kind")),
                start_ns=_integer(span.get("startTimeUnixNano")),
                end_ns=_integer(span.get("endTimeUnixNano")),
                status_code=_integer(_object(span.get("status")).get("code")),
                attributes=_json_attributes(span),
                events=tuple(
                    CapturedEvent(_text(event, "name"), _json_attributes(event), _integer(event.get("timeUnixNano")))
                    for event in _objects(span, "events")
                ),
                resource=resource,
                scope_name=_text(scope, "name"),
                scope_version=_text(scope, "version"),
                is_sampled=_is_sampled(_integer(span.get("flags"))),
                trace_state=_text(span, "traceState"),
                dropped_attributes=_integer(span.get("droppedAttributesCount")),
            )


def _json_attributes(holder: Mapping[str, Any], name: str = "attributes") -> dict[str, Any]:
    return {_text(item, "key"): _json_value(_object(item.get("value"))) for item in _objects(holder, name)}


def _json_value(value: Mapping[str, Any]) -> Any:
    for kind, content in value.items():
        if kind in _JSON_VALUES:
            return None if content is None else _JSON_VALUES[kind](content)
    return None


def _json_array(content: Any) -> list[Any]:
    return [_json_value(item) for item in _objects(_object(content), "values")]


def _json_mapping(content: Any) -> dict[str, Any]:
    return _json_attributes(_object(content), "values")


def _json_bytes(content: Any) -> bytes | str:
    text = str(_checked(content, str))
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text


def _json_double(content: Any) -> float:
    # "NaN" and "Infinity" come as strings.
    return float(_checked(content, int | float | str))


# The readers below take null for "not given", as protobuf's JSON does, and raise ValueError for any other type.
def _checked(content: Any, kind: Any) -> Any:
    if not isinstance(content, kind):
        raise ValueError(f"{type(content).__name__} found where another type belongs")  # noqa: TRY004
    return content


def _object(content: Any) -> dict[str, Any]:
    members: dict[str, Any] = {} if content is None else _checked(content, dict)
    return members


def _objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    content = holder.get(name)
    return [] if content is None else [_object(item) for item in _checked(content, list)]


def _text(holder: Mapping[str, Any], name: str) -> str:
    content = holder.get(name)
    return "" if content is None else str(_checked(content, str))


def _integer(content: Any) -> int:
    if content is None:
        return 0
    if isinstance(content, str) and _INTEGER.fullmatch(content):
        return int(content)
    if isinstance(content, float) and content.is_integer():
        return int(content)
    if isinstance(content, bool) or not isinstance(content, int):
        raise ValueError(f"{str(content)[:40]!r} is no integer")  # noqa: TRY004
    return content


def _json_id(span: Mapping[str, Any], name: str, length: int) -> int:
    text = _text(span, name)
    if not _HEX.fullmatch(text):
        raise ValueError(f"{name} {text[:40]!r} is not in hex digits")
    return int(text, 16) if len(text) == 2 * length else 0


_JSON_VALUES = {
    "stringValue": lambda content: _checked(content, str),
    "boolValue": lambda content: _checked(content, bool),
    "intValue": _integer,
    "doubleValue": _json_double,
    "arrayValue": _json_array,
    "kvlistValue": _json_mapping,
    "bytesValue": _json_bytes,
}
