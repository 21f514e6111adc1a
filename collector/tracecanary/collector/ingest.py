"""Reading OTLP files into a lake: their spans, and the evaluations on these and in logs."""

from __future__ import annotations

import io
import logging
import time
from collections import Counter
from collections.abc import Sequence

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.config import DEFAULT_MAX_SEGMENT_SPANS
from tracecanary.collector.evaluation_logs import logged_evaluations
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.evaluations import EvaluationRow
from tracecanary.collector.normalise import Normaliser, default_normaliser
from tracecanary.collector.otlp_contents import read_contents
from tracecanary.collector.otlp_logs import LoggedEvent
from tracecanary.collector.otlp_stream import StreamLimits, decompressed, otlp_requests
from tracecanary.collector.segments import publish_segment, storable_table, write_segment
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
    return [span for request in requests for span in read_contents(request).spans]


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


def store_events(lake: FileLake, events: Sequence[LoggedEvent], normaliser: Normaliser | None = None) -> int:
    """Add the evaluations among `events` of a log to the lake, and return their number.

    One that does not tell what was judged, or with which result, is left out, with a warning.

    Raises:
        LakeError: The lake can't be written.
    """
    rules = (normaliser or default_normaliser()).rules.evaluators
    received_ns = time.time_ns()
    rows: list[EvaluationRow] = []
    left_out: Counter[str] = Counter()
    for event in events:
        found = logged_evaluations(event, rules, received_ns=received_ns)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            rows += map(_received_when_judged, found)
    for reason, count in left_out.items():
        _logger.warning("%d %s were left out", count, reason)
    if rows:
        publish_segment(lake, LakeTable.EVALUATIONS, storable_table(EVALUATION_COLUMNS, rows))
    return len(rows)


def _received_when_judged(row: EvaluationRow) -> EvaluationRow:
    """Let an evaluation from a file be as old as it says: a file read again must not overrule newer ones."""
    return tuple(row[_JUDGED if index == _RECEIVED else index] for index in range(len(row)))
