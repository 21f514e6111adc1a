"""The part of OTLP's trace messages that is stored, with attributes left in bytes, and its decoder to Arrow.

Theory of operation. On the wire a field of bytes looks like a field that is a message, so that a leaner schema reads
the same requests. With attributes as bytes, all spans of a request become one list of bytes each, of which equal ones
(most of them) are decoded once. `ptars` does this in Rust; it comes with `tracecanary[server]`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

_Field = descriptor_pb2.FieldDescriptorProto
_BYTES, _STRING, _MESSAGE = _Field.TYPE_BYTES, _Field.TYPE_STRING, _Field.TYPE_MESSAGE
_PACKAGE = "tracecanary.lean"
_FILE = "tracecanary/lean.proto"

# Numbers and types of the fields: opentelemetry-proto 1.9, trace.proto and common.proto. A type that is a name is a
# message of this list; a trailing * repeats the field.
_MESSAGES: dict[str, tuple[tuple[int, str, Any], ...]] = {
    "Request": ((1, "resource_spans*", "ResourceSpans"),),
    "ResourceSpans": ((1, "resource", _BYTES), (2, "scope_spans*", "ScopeSpans")),
    "ScopeSpans": ((1, "scope", _BYTES), (2, "spans*", "Span")),
    "Span": (
        (1, "trace_id", _BYTES),
        (2, "span_id", _BYTES),
        (3, "trace_state", _STRING),
        (4, "parent_span_id", _BYTES),
        (5, "name", _STRING),
        (6, "kind", _Field.TYPE_INT32),
        (7, "start", _Field.TYPE_FIXED64),
        (8, "end", _Field.TYPE_FIXED64),
        (9, "attributes*", _BYTES),
        (10, "dropped", _Field.TYPE_UINT32),
        (11, "events*", "Event"),
        (15, "status", _BYTES),
        (16, "flags", _Field.TYPE_FIXED32),
    ),
    "Event": ((1, "time", _Field.TYPE_FIXED64), (2, "name", _STRING), (3, "attributes*", _BYTES)),
    "KeyValue": ((1, "key", _STRING), (2, "value", "AnyValue")),
    "AnyValue": (
        (1, "string_value", _STRING),
        (2, "bool_value", _Field.TYPE_BOOL),
        (3, "int_value", _Field.TYPE_INT64),
        (4, "double_value", _Field.TYPE_DOUBLE),
        (5, "array_value", _BYTES),
        (6, "kvlist_value", _BYTES),
        (7, "bytes_value", _BYTES),
    ),
}


@dataclass(frozen=True, slots=True)
class LeanDecoders:
    """What turns serialised messages into record batches: `requests` whole requests, `key_values` attributes."""

    requests: Any
    key_values: Any


@functools.cache
def lean_decoders() -> LeanDecoders | None:
    """Return the decoders; None where `ptars` is not installed."""
    try:
        import ptars
    except ImportError:
        return None
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    handlers = ptars.HandlerPool([pool.FindFileByName(_FILE)])
    messages = (pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in ("Request", "KeyValue"))
    return LeanDecoders(*(handlers.get_for_message(message) for message in messages))


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        is_oneof = name == "AnyValue"
        if is_oneof:
            message.oneof_decl.add(name="value")
        _add_fields(message, fields, is_oneof=is_oneof)
    return file


def _add_fields(
    message: descriptor_pb2.DescriptorProto, fields: Sequence[tuple[int, str, Any]], *, is_oneof: bool
) -> None:
    for number, name, kind in fields:
        label = _Field.LABEL_REPEATED if name.endswith("*") else _Field.LABEL_OPTIONAL
        field = message.field.add(name=name.rstrip("*"), number=number, label=label)
        if isinstance(kind, str):
            field.type, field.type_name = _MESSAGE, f".{_PACKAGE}.{kind}"
        else:
            field.type = kind
        if is_oneof:
            field.oneof_index = 0
