"""From rows of spans to OTLP trace requests, and of evaluations to log requests. Pure but for Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracecanary.collector.attributes import EVALUATION_EVENT
from tracecanary.collector.normalise import OTEL_KINDS, STATUSES
from tracecanary.collector.otlp_wire import (
    attribute_field,
    bytes_field,
    fixed32_field,
    fixed64_field,
    varint_field,
)
from tracecanary.collector.sent_spans import (
    EVALUATION_ATTRIBUTES,
    MAP_COLUMNS,
    RESOURCE_ATTRIBUTES,
    SENT_NAMES,
    VERSION_ATTRIBUTE,
    map_entry_name,
)
from tracecanary.schema import SCHEMA_VERSION, LakeTable

if TYPE_CHECKING:
    import pyarrow as pa

# Numbers of fields of opentelemetry.proto.collector: the same for traces and logs.
_BY_RESOURCE, _RESOURCE, _BY_SCOPE, _SCOPE, _ITEMS = 1, 1, 2, 1, 2
# Of opentelemetry.proto.logs.v1.LogRecord.
_LOG_TIME, _LOG_ATTRIBUTES, _LOG_TRACE_ID, _LOG_SPAN_ID, _LOG_EVENT_NAME = 1, 6, 9, 10, 12
# Of opentelemetry.proto.trace.v1.
_RESOURCE_ATTRIBUTES, _SCOPE_NAME, _SCOPE_VERSION = 1, 1, 2
_TRACE_ID, _SPAN_ID, _PARENT, _NAME, _KIND, _START, _END, _ATTRIBUTES, _STATUS, _FLAGS = 1, 2, 4, 5, 6, 7, 8, 9, 15, 16
_STATUS_CODE = 3
_SAMPLED_FLAG = 1
# Many rows share the values of a column, but not those of ids.
_MAX_MEMO = 4_096


@dataclass(frozen=True, slots=True)
class OtlpRequest:
    """A request in protobuf, and the rows that it holds: the number of the first, and how many."""

    body: bytes
    first_row: int
    rows: int


def otlp_requests(table: LakeTable, rows: pa.Table, *, max_rows: int, max_bytes: int) -> Iterator[OtlpRequest]:
    """Yield `rows` of `table`, in their order, in requests of at most these sizes.

    Spans make an `ExportTraceServiceRequest`, evaluations an `ExportLogsServiceRequest` with an event each. A single
    row of more than `max_bytes` has a request of its own. Equal rows give equal requests.
    """
    groups: dict[bytes, dict[bytes, list[bytes]]] = {}
    first_row = count = size = 0
    for resource, scope, item in _encoded_spans(rows) if table is LakeTable.SPANS else _encoded_evaluations(rows):
        if count and (count >= max_rows or size + len(item) > max_bytes):
            yield OtlpRequest(_request(groups), first_row, count)
            groups, first_row, count, size = {}, first_row + count, 0, 0
        groups.setdefault(resource, {}).setdefault(scope, []).append(item)
        count += 1
        size += len(item)
    if count:
        yield OtlpRequest(_request(groups), first_row, count)


def _request(groups: dict[bytes, dict[bytes, list[bytes]]]) -> bytes:
    return b"".join(
        bytes_field(
            _BY_RESOURCE,
            bytes_field(_RESOURCE, resource)
            + b"".join(
                bytes_field(_BY_SCOPE, bytes_field(_SCOPE, scope) + b"".join(items)) for scope, items in scopes.items()
            ),
        )
        for resource, scopes in groups.items()
    )


def _encoded_evaluations(rows: pa.Table) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the resource and the scope, both empty, and the field of each evaluation."""
    event = bytes_field(_LOG_EVENT_NAME, EVALUATION_EVENT.encode())
    parts: list[Sequence[bytes]] = [
        [fixed64_field(_LOG_TIME, time_ns) for time_ns in _values(rows, "time_unix_ns")],
        *[
            _attributes(rows, column, name, _LOG_ATTRIBUTES)
            for column, name in EVALUATION_ATTRIBUTES.items()
            if column in rows.column_names
        ],
        _ids(rows, "trace_id", _LOG_TRACE_ID),
        _ids(rows, "span_id", _LOG_SPAN_ID),
        [event] * rows.num_rows,
    ]
    for record in _joined(parts):
        yield b"", b"", bytes_field(_ITEMS, record)


def _encoded_spans(rows: pa.Table) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the resource, the scope and the field of each span."""
    resources = _joined([_attributes(rows, column, name, 1) for column, name in RESOURCE_ATTRIBUTES.items()])
    scopes = _joined([_texts(rows, "scope_name", _SCOPE_NAME), _texts(rows, "scope_version", _SCOPE_VERSION)])
    version = attribute_field(_ATTRIBUTES, VERSION_ATTRIBUTE, SCHEMA_VERSION)
    starts, durations = _values(rows, "start_unix_ns"), _values(rows, "duration_ns")
    parts: list[Sequence[bytes]] = [
        _ids(rows, "trace_id", _TRACE_ID),
        _ids(rows, "span_id", _SPAN_ID),
        _ids(rows, "parent_span_id", _PARENT),
        _texts(rows, "name", _NAME),
        _memoised(_values(rows, "otel_kind"), _kind),
        [fixed64_field(_START, start) for start in starts],
        [fixed64_field(_END, start + duration) for start, duration in zip(starts, durations, strict=True)],
        [version] * rows.num_rows,
        *[_attributes(rows, column, name, _ATTRIBUTES) for column, name in SENT_NAMES.items()],
        *[_map_attributes(rows, column) for column in MAP_COLUMNS],
        _memoised(_values(rows, "status"), _status),
        _memoised(_values(rows, "is_sampled"), _flags),
    ]
    for resource, scope, span in zip(resources, scopes, _joined(parts), strict=True):
        yield resource, scope, bytes_field(_ITEMS, span)


def _joined(columns: Sequence[Sequence[bytes]]) -> list[bytes]:
    return list(map(b"".join, zip(*columns, strict=True)))


def _values(rows: pa.Table, column: str) -> list[Any]:
    values: list[Any] = rows.column(column).to_pylist()
    return values


def _ids(rows: pa.Table, column: str, field: int) -> list[bytes]:
    return [bytes_field(field, bytes.fromhex(value)) if value else b"" for value in _values(rows, column)]


def _texts(rows: pa.Table, column: str, field: int) -> list[bytes]:
    return _memoised(_values(rows, column), lambda value: bytes_field(field, value.encode()))


def _attributes(rows: pa.Table, column: str, name: str, field: int) -> list[bytes]:
    values = rows.column(column)
    if values.null_count == rows.num_rows:
        return [b""] * rows.num_rows
    return _memoised(values.to_pylist(), lambda value: attribute_field(field, name, value))


def _map_attributes(rows: pa.Table, column: str) -> list[bytes]:
    memo: dict[tuple[str, str], bytes] = {}

    def encoded(entry: tuple[str, str]) -> bytes:
        held = memo.get(entry)
        if held is None:
            held = attribute_field(_ATTRIBUTES, map_entry_name(column, entry[0]), entry[1])
            if len(memo) < _MAX_MEMO:
                memo[entry] = held
        return held

    return [b"".join(map(encoded, entries)) if entries else b"" for entries in _values(rows, column)]


def _memoised(values: Sequence[Any], encode: Callable[[Any], bytes]) -> list[bytes]:
    """Return each of `values` encoded, those of one column and so of one type; None as nothing."""
    memo: dict[Any, bytes] = {None: b""}
    encoded = []
    for value in values:
        held = memo.get(value)
        if held is None:
            held = encode(value)
            if len(memo) < _MAX_MEMO:
                memo[value] = held
        encoded.append(held)
    return encoded


def _kind(kind: str) -> bytes:
    return varint_field(_KIND, OTEL_KINDS.index(kind)) if kind in OTEL_KINDS else b""


def _status(status: str) -> bytes:
    code = STATUSES.index(status) if status in STATUSES else 0
    return bytes_field(_STATUS, varint_field(_STATUS_CODE, code)) if code else b""


def _flags(is_sampled: bool) -> bytes:  # noqa: FBT001  a value of a column
    return fixed32_field(_FLAGS, _SAMPLED_FLAG) if is_sampled else b""
