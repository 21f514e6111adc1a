"""From the queue into the lake, on whatever thread calls it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from tracecanary.collector.config import CaptureSettings
from tracecanary.collector.losses import Losses
from tracecanary.collector.normalise import SpanRow, span_row
from tracecanary.collector.sdk_spans import Resources, SpanRecord, captured_span
from tracecanary.collector.segments import UNSTORABLE_ERRORS, storable_rows, write_segment
from tracecanary.collector.span_buffer import SpanBuffer
from tracecanary.schema import SPAN_COLUMNS, LakeTable

_logger = logging.getLogger(__name__)


class SpanFlusher:
    """Writes what waits in `buffer`, one segment at a time. Only one thread at a time may call `flush`."""

    def __init__(self, settings: CaptureSettings, buffer: SpanBuffer, losses: Losses) -> None:
        self._settings = settings
        self._buffer = buffer
        self._losses = losses
        self._in_hand: Sequence[SpanRecord] = ()
        self.is_lake_writable = True  # whether the last write worked
        self.stored_spans = 0
        # Held while Arrow is imported and used, and across a fork: a child that is forked meanwhile inherits Arrow's
        # and the import's own locks without the thread that would release them, and could never write.
        self.writing = threading.RLock()

    @property
    def unstored_spans(self) -> int:
        """Spans that were taken from the queue and are not stored yet."""
        return len(self._in_hand)

    def flush(self) -> bool:
        """Write what waits now; return whether nothing of it has to be tried again."""
        waiting = len(self._buffer)
        while waiting > 0:
            # After a failure one span tries the lake first: to convert all of them for every try in vain would cost
            # the application more than capturing them did.
            size = min(waiting, self._settings.max_segment_spans if self.is_lake_writable else 1)
            self._in_hand = records = self._buffer.take(size)
            has_failed_before = not self.is_lake_writable
            self.is_lake_writable = self._write(records)
            if not self.is_lake_writable:
                self._buffer.put_back(records)  # nothing accepted is lost: the next flush tries again
                self._in_hand = ()
                return False
            self._in_hand = ()
            self._buffer.release(records)
            if has_failed_before:
                _logger.info("writing to %s works again", self._settings.lake)
            waiting -= size
        return True

    def _write(self, records: list[SpanRecord]) -> bool:
        """Store `records` but for those that can't be stored, which are counted; return False to try again."""
        try:
            rows = _valid_rows(records, self._buffer.resources)
            with self.writing:
                rows = self._write_rows(rows)
        except Exception as error:  # noqa: BLE001  disk full, memory full, Arrow missing: not the spans' fault
            if self.is_lake_writable:
                _logger.error("%s Spans are kept in memory and tried again.", error)  # noqa: TRY400  the cause is in it
            return False
        self.stored_spans += len(rows)
        if len(rows) < len(records):
            self._losses.add("malformed", len(records) - len(rows))
            _logger.warning("%d spans hold values that can't be stored", len(records) - len(rows))
        return True

    def _write_rows(self, rows: list[SpanRow]) -> list[SpanRow]:
        """Write one segment and return the rows in it: a hostile value takes no other span with it."""
        try:
            if rows:
                write_segment(self._settings.lake, LakeTable.SPANS, SPAN_COLUMNS, rows)
        except UNSTORABLE_ERRORS:
            rows = storable_rows(SPAN_COLUMNS, rows)
            if rows:
                write_segment(self._settings.lake, LakeTable.SPANS, SPAN_COLUMNS, rows)
        return rows


def _valid_rows(records: Sequence[SpanRecord], resources: Resources) -> list[SpanRow]:
    rows = []
    for record in records:
        try:
            span = captured_span(record, resources)
            if span.is_valid:
                rows.append(span_row(span))
        except Exception:
            _logger.debug("a span could not be read", exc_info=True)
    return rows
