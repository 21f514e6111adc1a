"""Values of OTLP, protobuf and JSON, which traces and logs share.

OTLP/JSON is not plain protobuf JSON: ids are hex, 64-bit integers are strings, enums are integers, and unknown fields
are ignored. An id of the wrong length decodes to 0, which is no valid id. The readers of JSON take null for "not
given", as protobuf's own JSON does, and raise ValueError for any other type.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
_HEX = re.compile(r"[0-9a-fA-F]*")
_INTEGER = re.compile(r"-?[0-9]{1,20}")


def protobuf_attributes(attributes: Any) -> dict[str, Any]:
    """Return the `KeyValue`s of a protobuf message as a dictionary; of equal keys the last one stays."""
    items: list[KeyValue] = list(attributes)
    return {item.key: protobuf_value(item.value) for item in items}


def protobuf_value(value: AnyValue) -> Any:
    """Return what an `AnyValue` holds; None when it is empty."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [protobuf_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return protobuf_attributes(value.kvlist_value.values)
    return getattr(value, kind)


def protobuf_id(value: bytes, length: int) -> int:
    """Return an id as a number; 0 for one of another length."""
    return int.from_bytes(value) if len(value) == length else 0


def json_attributes(holder: Mapping[str, Any], name: str = "attributes") -> dict[str, Any]:
    """Return the list `name` of key-value objects in `holder` as a dictionary."""
    return {json_text(item, "key"): _json_value(json_object(item.get("value"))) for item in json_objects(holder, name)}


def _json_value(value: Mapping[str, Any]) -> Any:
    for kind, content in value.items():
        if kind in _JSON_VALUES:
            return None if content is None else _JSON_VALUES[kind](content)
    return None


def _json_array(content: Any) -> list[Any]:
    return [_json_value(item) for item in json_objects(json_object(content), "values")]


def _json_mapping(content: Any) -> dict[str, Any]:
    return json_attributes(json_object(content), "values")


def _json_bytes(content: Any) -> bytes | str:
    text = str(_checked(content, str))
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text


def _json_double(content: Any) -> float:
    # "NaN" and "Infinity" come as strings.
    return float(_checked(content, int | float | str))


def _checked(content: Any, kind: Any) -> Any:
    if not isinstance(content, kind):
        raise ValueError(f"{type(content).__name__} found where another type belongs")  # noqa: TRY004
    return content


def json_object(content: Any) -> dict[str, Any]:
    """Return `content`, an object; an empty one for null."""
    members: dict[str, Any] = {} if content is None else _checked(content, dict)
    return members


def json_objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the list `name` of objects in `holder`; an empty one for null."""
    content = holder.get(name)
    return [] if content is None else [json_object(item) for item in _checked(content, list)]


def json_text(holder: Mapping[str, Any], name: str) -> str:
    """Return the string `name` in `holder`; an empty one for null."""
    content = holder.get(name)
    return "" if content is None else str(_checked(content, str))


def json_integer(content: Any) -> int:
    """Return an integer, which may come as a string; 0 for null."""
    if content is None:
        return 0
    if isinstance(content, str) and _INTEGER.fullmatch(content):
        return int(content)
    if isinstance(content, float) and content.is_integer():
        return int(content)
    if isinstance(content, bool) or not isinstance(content, int):
        raise ValueError(f"{str(content)[:40]!r} is no integer")  # noqa: TRY004
    return content


def json_enum(content: Any, names: Sequence[str]) -> int:
    """Return an enum's number; 0 for null. Protobuf's own JSON has names, which the Collector reads as well."""
    return names.index(content) if isinstance(content, str) and content in names else json_integer(content)


def json_id(holder: Mapping[str, Any], name: str, length: int) -> int:
    """Return the hex id `name` in `holder` as a number; 0 for one of another length."""
    text = json_text(holder, name)
    if not _HEX.fullmatch(text):
        raise ValueError(f"{name} {text[:40]!r} is not in hex digits")
    return int(text, 16) if len(text) == 2 * length else 0


_JSON_VALUES = {
    "stringValue": lambda content: _checked(content, str),
    "boolValue": lambda content: _checked(content, bool),
    "intValue": json_integer,
    "doubleValue": _json_double,
    "arrayValue": _json_array,
    "kvlistValue": _json_mapping,
    "bytesValue": _json_bytes,
}
