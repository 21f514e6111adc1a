"""Reading OTLP trace files into a lake."""

from __future__ import annotations

import gzip
from pathlib import Path

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.config import DEFAULT_MAX_SEGMENT_SPANS
from tracecanary.collector.normalise import span_row
from tracecanary.collector.otlp import spans_from_json, spans_from_protobuf
from tracecanary.collector.segments import write_segment
from tracecanary.schema import SPAN_COLUMNS, LakeTable, MalformedInputError

_GZIP_MAGIC = b"\x1f\x8b"


def decode_otlp_file(body: bytes) -> list[CapturedSpan]:
    """Decode a file of OTLP traces: one protobuf request, one JSON request, or a JSON request a line; or its gzip.

    Raises:
        MalformedInputError: It is none of these.
    """
    if body.startswith(_GZIP_MAGIC):
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError) as error:
            raise MalformedInputError(f"the gzip stream is damaged: {error}") from error
    if not body.strip():
        raise MalformedInputError("the file is empty")
    if not body.lstrip().startswith(b"{"):
        return spans_from_protobuf(body)
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        return [span for line in lines for span in spans_from_json(line)]
    return spans_from_json(body)


def store_spans(lake: Path, spans: list[CapturedSpan]) -> int:
    """Add `spans` to the lake and return their number; a span that is stored already stays one row to readers.

    Raises:
        LakeError: The lake can't be written.
    """
    for first in range(0, len(spans), DEFAULT_MAX_SEGMENT_SPANS):
        rows = [span_row(span) for span in spans[first : first + DEFAULT_MAX_SEGMENT_SPANS]]
        write_segment(lake, LakeTable.SPANS, SPAN_COLUMNS, rows)
    return len(spans)
