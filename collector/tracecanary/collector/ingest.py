"""Reading OTLP trace files into a lake."""

from __future__ import annotations

import io
import logging
import time

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.config import DEFAULT_MAX_SEGMENT_SPANS
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.evaluations import EvaluationRow
from tracecanary.collector.normalise import Normaliser, default_normaliser
from tracecanary.collector.otlp import spans_from_json, spans_from_protobuf
from tracecanary.collector.otlp_stream import OtlpRequest, StreamLimits, decompressed, otlp_requests
from tracecanary.collector.segments import publish_segment, write_segment
from tracecanary.collector.span_tables import span_table
from tracecanary.schema import EVALUATION_COLUMNS, FileLake, LakeTable

_logger = logging.getLogger(__name__)
_NAMES = [column.name for column in EVALUATION_COLUMNS]
_JUDGED, _RECEIVED = _NAMES.index("time_unix_ns"), _NAMES.index("received_unix_ns")


def decode_otlp_file(body: bytes) -> list[CapturedSpan]:
    """Decode a whole file of OTLP traces, in any form that `otlp_stream` knows.

    Raises:
        MalformedInputError: It is none of these.
    """
    requests = otlp_requests(decompressed(io.BytesIO(body)), limits=StreamLimits())
    return [span for request in requests for span in spans_of_request(request)]


def spans_of_request(request: OtlpRequest) -> list[CapturedSpan]:
    """Decode one request.

    Raises:
        MalformedInputError: It is no OTLP trace request.
    """
    return (spans_from_json if request.encoding == "json" else spans_from_protobuf)(request.body)


def store_spans(lake: FileLake, spans: list[CapturedSpan], normaliser: Normaliser | None = None) -> int:
    """Add `spans` to the lake and return their number; a span that is stored already stays one row to readers.

    Evaluations that spans carry are added, too.

    A span without valid ids or times can't be part of any trace: it is left out, with a warning. `normaliser` brings
    an installation's rules.

    Raises:
        LakeError: The lake can't be written.
    """
    valid = [span for span in spans if span.is_valid]
    if len(valid) < len(spans):
        _logger.warning("%d spans without a valid trace id, span id or time were left out", len(spans) - len(valid))
    normaliser = normaliser or default_normaliser()
    for first in range(0, len(valid), DEFAULT_MAX_SEGMENT_SPANS):
        evaluations = SpanEvaluations(received_ns=time.time_ns(), rules=normaliser.rules.evaluators)
        batch = valid[first : first + DEFAULT_MAX_SEGMENT_SPANS]
        rows = span_table(batch, normaliser, evaluations)
        if evaluations.rows:
            judged = [_received_when_judged(row) for row in evaluations.rows]
            write_segment(lake, LakeTable.EVALUATIONS, EVALUATION_COLUMNS, judged)
        publish_segment(lake, LakeTable.SPANS, rows)
    return len(valid)


def _received_when_judged(row: EvaluationRow) -> EvaluationRow:
    """Let an evaluation from a file be as old as it says: a file read again must not overrule newer ones."""
    return tuple(row[_JUDGED if index == _RECEIVED else index] for index in range(len(row)))
