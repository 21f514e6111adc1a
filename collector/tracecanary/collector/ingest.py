"""Reading OTLP trace files into a lake."""

from __future__ import annotations

import contextlib
import gzip
import logging
import time
import zlib

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.config import DEFAULT_MAX_SEGMENT_SPANS
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.normalise import Normaliser, default_normaliser
from tracecanary.collector.otlp import spans_from_json, spans_from_protobuf
from tracecanary.collector.segments import publish_segment, write_segment
from tracecanary.collector.span_tables import span_table
from tracecanary.schema import EVALUATION_COLUMNS, FileLake, LakeTable, MalformedInputError

_logger = logging.getLogger(__name__)
_GZIP_MAGIC = b"\x1f\x8b"


def decode_otlp_file(body: bytes) -> list[CapturedSpan]:
    """Decode a file of OTLP traces: one protobuf request, one JSON request, or a JSON request a line; or its gzip.

    Raises:
        MalformedInputError: It is none of these.
    """
    if body.startswith(_GZIP_MAGIC):
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedInputError(f"the gzip stream is damaged: {error}") from error
    if not body.strip():
        raise MalformedInputError("the file is empty")
    if not body.lstrip().startswith(b"{"):
        return spans_from_protobuf(body)
    try:
        return _spans_from_json_lines(body)
    except MalformedInputError:
        # A protobuf request starts with a line feed, the tag of its first field, and "{" is also the length 123.
        if body.startswith(b"\n"):
            with contextlib.suppress(MalformedInputError):
                return spans_from_protobuf(body)
        raise


def _spans_from_json_lines(body: bytes) -> list[CapturedSpan]:
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        return [span for line in lines for span in spans_from_json(line)]
    return spans_from_json(body)


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
            write_segment(lake, LakeTable.EVALUATIONS, EVALUATION_COLUMNS, evaluations.rows)
        publish_segment(lake, LakeTable.SPANS, rows)
    return len(valid)
