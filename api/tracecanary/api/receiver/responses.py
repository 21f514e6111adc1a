"""What an export is answered with, when it was stored."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tracecanary.collector.intake import Acknowledgement

_MAX_REASONS = 5
# Nearly every answer: nothing was rejected.
_ACCEPTED_JSON, _ACCEPTED_PROTOBUF = b"{}", b""


def trace_response(acknowledgement: Acknowledgement, *, is_json: bool) -> bytes:
    """Return an `ExportTraceServiceResponse`, with the number of spans that were rejected and why."""
    if not acknowledgement.rejected:
        return _ACCEPTED_JSON if is_json else _ACCEPTED_PROTOBUF
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = sum(acknowledgement.rejected.values())
    response.partial_success.error_message = _reasons(acknowledgement.rejected)
    return _encoded(response, is_json=is_json)


def logs_response(acknowledgement: Acknowledgement, *, is_json: bool) -> bytes:
    """Return an `ExportLogsServiceResponse`, with the number of records that were rejected and why."""
    if not acknowledgement.rejected:
        return _ACCEPTED_JSON if is_json else _ACCEPTED_PROTOBUF
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = sum(acknowledgement.rejected.values())
    response.partial_success.error_message = _reasons(acknowledgement.rejected)
    return _encoded(response, is_json=is_json)


def _encoded(response: ExportTraceServiceResponse | ExportLogsServiceResponse, *, is_json: bool) -> bytes:
    return json_format.MessageToJson(response, indent=None).encode() if is_json else response.SerializeToString()


def _reasons(rejected: Mapping[str, int]) -> str:
    shown = [f"{count} {reason}" for reason, count in sorted(rejected.items(), key=lambda item: -item[1])]
    more = [f"and {len(shown) - _MAX_REASONS} other reasons"] if len(shown) > _MAX_REASONS else []
    return "rejected: " + "; ".join([*shown[:_MAX_REASONS], *more])
