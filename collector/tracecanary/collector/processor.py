"""The span processor: an application's finished spans, straight into the lake.

Theory of operation. `on_end` runs on the application's thread: it copies values into a bounded queue and returns. One
daemon thread drains the queue every `flush_interval_s`, or earlier when a segment's worth of spans waits, applies the
conventions and writes one Parquet segment. What can't be written stays queued and is tried again; what doesn't fit is
dropped, newest first, and counted. Nothing here raises into the application.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Mapping

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from tracecanary.collector.attributes import CANARY_BAGGAGE
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.config import (
    DEFAULT_FLUSH_INTERVAL_S,
    DEFAULT_MAX_PENDING_SPANS,
    DEFAULT_MAX_SEGMENT_SPANS,
    CaptureSettings,
    lake_folder,
)
from tracecanary.collector.context import is_valid_baggage_value
from tracecanary.collector.normalise import span_row
from tracecanary.collector.sdk_spans import captured_span
from tracecanary.collector.segments import write_segment
from tracecanary.schema import SPAN_COLUMNS, LakeError, LakeTable

_logger = logging.getLogger(__name__)
_SHUTDOWN_LIMIT_S = 30.0


class CanarySpanProcessor(SpanProcessor):
    """Captures the spans of an application's own OpenTelemetry setup into a lake.

    `provider.add_span_processor(CanarySpanProcessor(lake="path/to/lake"))` is all an application needs; exporters that
    are already there stay. Several processes may write to one lake.

    Args:
        lake: Folder of the lake, made if absent. Default: the environment variable `TRACECANARY_LAKE`.
        flush_interval_s: Longest time a finished span waits in memory, and so what a killed process loses.
        max_pending_spans: Spans that may wait; further ones are dropped and counted in `dropped`.
        max_segment_spans: Most spans in one Parquet segment.

    Raises:
        ConfigurationError: No lake is given, or a limit is not positive.
    """

    _pending: deque[CapturedSpan]
    _worker: threading.Thread
    _is_shut_down: bool

    def __init__(
        self,
        lake: str | os.PathLike[str] | None = None,
        *,
        flush_interval_s: float = DEFAULT_FLUSH_INTERVAL_S,
        max_pending_spans: int = DEFAULT_MAX_PENDING_SPANS,
        max_segment_spans: int = DEFAULT_MAX_SEGMENT_SPANS,
    ) -> None:
        self._settings = CaptureSettings(
            lake=lake_folder(lake),
            flush_interval_s=flush_interval_s,
            max_pending_spans=max_pending_spans,
            max_segment_spans=max_segment_spans,
        )
        self._dropped: Counter[str] = Counter()
        self._start_worker()
        # A forked child inherits neither thread nor usable locks, and its parent's spans are not its own.
        reset = weakref.WeakMethod(self._start_worker)
        os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    @property
    def dropped(self) -> Mapping[str, int]:
        """Spans lost so far, by reason: `queue_full`, `already_shutdown`, `malformed`, `not_written`, `internal`."""
        return dict(self._dropped)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Copy cohort, variant and pair id from the baggage onto the span."""
        try:
            for name in CANARY_BAGGAGE:
                value = baggage.get_baggage(name, parent_context)
                if is_valid_baggage_value(value):
                    span.set_attribute(name, str(value))
        except Exception:  # noqa: BLE001  an exception here would reach the application
            self._dropped["internal"] += 1

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the values of a finished span. Never blocks, never raises."""
        try:
            if self._is_shut_down:
                self._dropped["already_shutdown"] += 1
                return
            # Unlocked: deque.append is atomic, and the limit may be passed by one span a thread at most.
            if len(self._pending) >= self._settings.max_pending_spans:
                self._dropped["queue_full"] += 1
                return
            self._pending.append(captured_span(span))
            if len(self._pending) >= self._settings.max_segment_spans:
                self._wake.set()
        except Exception:  # noqa: BLE001  an exception here would reach the application
            self._dropped["internal"] += 1

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write what is queued; return whether all of it is in the lake within `timeout_millis`."""
        if self._is_shut_down:
            return not self._pending
        deadline = time.monotonic() + timeout_millis / 1000
        with self._flushed:
            wanted = self._flushes_started + 1
            self._wake.set()
            finished = self._flushed.wait_for(
                lambda: self._flushes_done >= wanted, timeout=max(0.0, deadline - time.monotonic())
            )
        return finished and self._last_flush_succeeded

    def shutdown(self) -> None:
        """Write what is queued and stop, within 30 s. What can't be written is counted as `not_written`."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._wake.set()
        self._worker.join(_SHUTDOWN_LIMIT_S)
        if self._pending:
            self._dropped["not_written"] += len(self._pending)
            _logger.error("%d spans could not be written to %s", len(self._pending), self._settings.lake)

    def _start_worker(self) -> None:
        self._pending = deque()
        self._wake = threading.Event()
        self._is_shut_down = False
        # Guards the three fields below; notified after every flush.
        self._flushed = threading.Condition()
        self._flushes_started = 0
        self._flushes_done = 0
        self._last_flush_succeeded = True
        self._worker = threading.Thread(target=self._run, name="tracecanary-writer", daemon=True)
        self._worker.start()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._settings.flush_interval_s)
            self._wake.clear()
            is_last = self._is_shut_down
            with self._flushed:
                self._flushes_started += 1
                number = self._flushes_started
            succeeded = self._flush()
            with self._flushed:
                if succeeded != self._last_flush_succeeded and succeeded:
                    _logger.info("writing to %s works again", self._settings.lake)
                self._flushes_done, self._last_flush_succeeded = number, succeeded
                self._flushed.notify_all()
            if is_last:
                return

    def _flush(self) -> bool:
        waiting = len(self._pending)
        while waiting > 0:
            spans = [self._pending.popleft() for _ in range(min(waiting, self._settings.max_segment_spans))]
            waiting -= len(spans)
            if not self._write(spans):
                self._pending.extendleft(reversed(spans))  # nothing accepted is lost: the next flush tries again
                return False
        return True

    def _write(self, spans: list[CapturedSpan]) -> bool:
        try:
            rows = [span_row(span) for span in spans]
            write_segment(self._settings.lake, LakeTable.SPANS, SPAN_COLUMNS, rows)
        except LakeError as error:
            if self._last_flush_succeeded:
                _logger.error("%s Spans are kept in memory and tried again.", error)  # noqa: TRY400  the cause is in it
            return False
        except Exception:  # noqa: BLE001  whatever a hostile value broke, the other spans of the batch are stored
            return self._write_without_malformed(spans)
        return True

    def _write_without_malformed(self, spans: list[CapturedSpan]) -> bool:
        """Halve the batch until the span that can't be stored stands alone, so that it takes no other with it."""
        if len(spans) == 1:
            self._dropped["malformed"] += 1
            _logger.warning("a span named %r could not be stored", spans[0].name)
            return True
        middle = len(spans) // 2
        # Both halves are tried: rows that were written twice by a later retry are one row to every reader.
        return all([self._write(spans[:middle]), self._write(spans[middle:])])
