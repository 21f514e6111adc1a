"""The span processor: an application's finished spans, straight into the lake.

Theory of operation. `on_end` runs on the application's thread: it copies values into a bounded queue and returns. One
daemon thread drains the queue every `flush_interval_s`, or earlier when a segment's worth of spans waits or the queue
is half full, applies the conventions and writes one Parquet segment. What can't be written stays queued and is tried
again; what doesn't fit is dropped, newest first, and counted. Nothing here raises into the application. A forked child
starts with an empty queue and a thread of its own; its parent's spans are its parent's to write.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

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
from tracecanary.collector.normalise import SpanRow, span_row
from tracecanary.collector.sdk_spans import captured_span
from tracecanary.collector.segments import UNSTORABLE_ERRORS, storable_rows, write_segment
from tracecanary.schema import SPAN_COLUMNS, LakeTable

_logger = logging.getLogger(__name__)
_DEFAULT_TIMEOUT_MILLIS = 30_000

# Every processor of this process: at-fork hooks can't be taken back, so there is one for all of them.
_processors: weakref.WeakSet[CanarySpanProcessor] = weakref.WeakSet()
# A fork waits at most this long for a writer to be done with Arrow.
_FORK_PATIENCE_S = 1.0


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
    _wake: threading.Event
    _worker: threading.Thread

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
        # The writer starts before the queue is full, so that a burst finds room while it works.
        self._wake_at = min(max_segment_spans, max(1, max_pending_spans // 2))
        self._is_shut_down = False
        self._start_worker()
        _processors.add(self)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Spans lost so far, by reason: `queue_full`, `already_shutdown`, `malformed`, `not_written`, `internal`."""
        with self._drop_lock:
            return dict(self._dropped)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Copy cohort, variant and pair id from the baggage onto the span."""
        try:
            for name in CANARY_BAGGAGE:
                value = baggage.get_baggage(name, parent_context)
                if is_valid_baggage_value(value):
                    span.set_attribute(name, str(value))
        except Exception:
            _logger.debug("the baggage could not be copied onto a span", exc_info=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the values of a finished span. Never waits for the writer, never raises."""
        try:
            if self._is_shut_down:
                self._drop("already_shutdown")
                return
            # Unlocked: deque.append is atomic, and the limit may be passed by one span a thread at most.
            waiting = len(self._pending)
            if waiting >= self._settings.max_pending_spans:
                self._drop("queue_full")
                return
            self._pending.append(captured_span(span))
            # While the lake can't be written, only time starts the next try: the queue stays full.
            if waiting >= self._wake_at - 1 and self._is_lake_writable and not self._wake.is_set():
                self._wake.set()
            if self._is_closed:  # shut down since the first line, perhaps after the last look into the queue
                self._drop_pending("already_shutdown")
        except Exception:  # noqa: BLE001  an exception here would reach the application
            self._drop("internal")

    def force_flush(self, timeout_millis: int = _DEFAULT_TIMEOUT_MILLIS) -> bool:
        """Write what is queued; return whether that was done within `timeout_millis`.

        Spans that can't be stored at all are counted in `dropped` and don't make it fail.
        """
        timeout_s = _seconds(timeout_millis)
        if self._is_shut_down:
            if (
                self._worker.ident is not None
            ):  # else it was never started, in the child of a process that had shut down
                self._worker.join(timeout_s)
            return not self._worker.is_alive() and self._is_lake_writable
        with self._flushed:
            wanted = self._flushes_started + 1
            self._wake.set()
            finished = self._flushed.wait_for(
                lambda: self._flushes_done >= wanted or self._has_stopped, timeout=timeout_s
            )
            return finished and self._last_flush_succeeded

    def shutdown(self, timeout_millis: int = _DEFAULT_TIMEOUT_MILLIS) -> None:
        """Write what is queued and stop, within `timeout_millis`. What can't be written is counted as `not_written`."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._wake.set()
        self._worker.join(_seconds(timeout_millis))
        self._is_closed = True
        in_hand = len(self._in_hand)  # not empty only while the worker is still writing
        if in_hand:
            self._drop("not_written", in_hand)
        not_written = in_hand + self._drop_pending("not_written")
        if not_written:
            _logger.error("%d spans could not be written to %s", not_written, self._settings.lake)

    def _start_worker(self) -> None:
        self._pending = deque()
        self._in_hand: Sequence[CapturedSpan] = ()  # what the worker has taken; only the worker sets it
        self._is_lake_writable = True  # whether the last write worked; only the worker sets it
        self._is_closed = self._is_shut_down
        self._wake = threading.Event()
        # Guards `_dropped`, since `+=` is not atomic; taken only when a span is lost. Reentrant: a span may end in a
        # finaliser, which runs in the middle of anything.
        self._drop_lock = threading.RLock()
        self._dropped: Counter[str] = Counter()
        # Guards the four fields below; notified after every flush.
        self._flushed = threading.Condition()
        self._flushes_started = 0
        self._flushes_done = 0
        self._last_flush_succeeded = True
        self._has_stopped = False
        self._worker = threading.Thread(target=self._run, name="tracecanary-writer", daemon=True)
        # Held while Arrow is imported and used, and across a fork: a child that is forked meanwhile inherits Arrow's
        # and the import's own locks without the thread that would release them, and could never write.
        self._writing = threading.RLock()
        if not self._is_shut_down:  # a child of a process that had shut down has nothing to write either
            self._worker.start()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(self._settings.flush_interval_s)
            self._wake.clear()
            is_last = self._is_shut_down
            with self._flushed:
                self._flushes_started += 1
                number = self._flushes_started
            has_failed_before = not self._is_lake_writable
            succeeded = self._flush()
            if succeeded and has_failed_before:
                _logger.info("writing to %s works again", self._settings.lake)
            with self._flushed:
                self._flushes_done, self._last_flush_succeeded, self._has_stopped = number, succeeded, is_last
                self._flushed.notify_all()

    def _flush(self) -> bool:
        waiting = len(self._pending)
        while waiting > 0:
            # After a failure one span tries the lake first: to convert all of them for every try in vain would cost
            # the application more than capturing them did.
            size = min(waiting, self._settings.max_segment_spans if self._is_lake_writable else 1)
            self._in_hand = spans = self._take(size)
            self._is_lake_writable = self._write(spans)
            if not self._is_lake_writable:
                self._pending.extendleft(reversed(spans))  # nothing accepted is lost: the next flush tries again
            self._in_hand = ()
            if not self._is_lake_writable:
                return False
            waiting -= size
        return True

    def _take(self, size: int) -> list[CapturedSpan]:
        taken: list[CapturedSpan] = []
        with contextlib.suppress(IndexError):  # emptied by a shutdown whose time was up, which has counted the rest
            while len(taken) < size:
                taken.append(self._pending.popleft())
        return taken

    def _write(self, spans: list[CapturedSpan]) -> bool:
        """Store `spans`, except those that can't be stored, which are counted; return False to have all tried again."""
        try:
            rows = _valid_rows(spans)
            with self._writing:
                rows = self._write_rows(rows)
        except Exception as error:  # noqa: BLE001  disk full, memory full, Arrow missing: not the spans' fault
            if self._is_lake_writable:
                _logger.error("%s Spans are kept in memory and tried again.", error)  # noqa: TRY400  the cause is in it
            return False
        if len(rows) < len(spans):
            self._drop("malformed", len(spans) - len(rows))
            _logger.warning("%d spans hold values that can't be stored", len(spans) - len(rows))
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

    def _before_fork(self) -> None:
        self._writing.acquire(timeout=_FORK_PATIENCE_S)

    def _after_fork_in_parent(self) -> None:
        with contextlib.suppress(RuntimeError):  # not acquired in time, or made since
            self._writing.release()

    def _drop(self, reason: str, spans: int = 1) -> None:
        with self._drop_lock:
            self._dropped[reason] += spans

    def _drop_pending(self, reason: str) -> int:
        """Empty the queue, counting each span once however many threads do this at a time."""
        dropped = 0
        try:
            while True:
                self._pending.popleft()
                dropped += 1
        except IndexError:
            if dropped:
                self._drop(reason, dropped)
        return dropped


def _valid_rows(spans: Sequence[CapturedSpan]) -> list[SpanRow]:
    rows = []
    for span in spans:
        try:
            if span.is_valid:
                rows.append(span_row(span))
        except Exception:
            _logger.debug("a span could not be read", exc_info=True)
    return rows


def _seconds(timeout_millis: int) -> float:
    return min(max(0.0, timeout_millis / 1000), threading.TIMEOUT_MAX)


def _on_all(method: Callable[[CanarySpanProcessor], None]) -> Callable[[], None]:
    def call() -> None:
        for processor in list(_processors):
            method(processor)

    return call


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_on_all(CanarySpanProcessor._before_fork),  # noqa: SLF001
        after_in_parent=_on_all(CanarySpanProcessor._after_fork_in_parent),  # noqa: SLF001
        # A child inherits neither the thread nor usable locks.
        after_in_child=_on_all(CanarySpanProcessor._start_worker),  # noqa: SLF001
    )
