"""The thread that writes captured spans into the lake.

Theory of operation. One daemon thread drains the queue every `flush_interval_s`, or earlier when a segment's worth of
spans waits or the queue is half full, applies the conventions and appends to the journal. Every `seal_interval_s`, and
when somebody asks for a flush, all that is journaled becomes one Parquet segment of the lake. What can't be stored
stays queued and is tried again. A forked child starts with an empty queue and a thread of its own; a fork that no hook
told of is noticed by the process id. The first span wakes the thread at once, to load Arrow while the span waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tracecanary.collector.config import CaptureSettings
from tracecanary.collector.evaluation_sinks import offer_evaluations, withdraw_sink
from tracecanary.collector.evaluations import Evaluation
from tracecanary.collector.forks import tell_of_forks
from tracecanary.collector.losses import Losses
from tracecanary.collector.packed_spans import PACKED_BYTES
from tracecanary.collector.self_metrics import SelfMetrics
from tracecanary.collector.span_buffer import SpanBuffer
from tracecanary.collector.span_flusher import FORK_PATIENCE_S, SpanFlusher

_logger = logging.getLogger(__name__)
_EXIT_PATIENCE_S = 30.0
# To ask for the process id costs 0.3 µs: only some spans do. The first one after each flush is among them.
_PID_CHECK_MASK = 63


class SpanWriter:
    """Takes ended spans on any thread and writes them on its own."""

    def __init__(self, settings: CaptureSettings, *, metrics: SelfMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._is_all_written = True
        self._is_publication_wanted = False
        self._worker: threading.Thread
        self.is_shut_down = False
        self._start()
        metrics.observe_queue(self, capacity=settings.max_pending_spans)
        tell_of_forks(self)
        offer_evaluations(self)

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def is_accelerated(self) -> bool:
        """Whether compiled code packs spans."""
        return self._buffer.packer.is_accelerated

    @property
    def dropped(self) -> Mapping[str, int]:
        """Spans lost so far, by reason."""
        return self._losses.by_reason()

    def drop(self, reason: str) -> None:
        """Count a span that is lost."""
        self._losses.add(reason)

    def add(self, span: Any, is_canary: Callable[[Any], bool]) -> None:
        """Queue the values of an ended span, or count it as lost. Never waits."""
        waiting, buffer = self._waiting, self._buffer
        spans = len(waiting)
        # Nearly always: far from every limit, and one function instead of three, which is most of what a span costs.
        if (
            spans & _PID_CHECK_MASK
            and spans < buffer.quick_spans
            and buffer.added_bytes < buffer.quick_bytes
            and not self.is_shut_down
        ):
            packed = buffer.pack_plain(span)
            if packed is not None:
                waiting.append(packed)
                buffer.added_bytes += len(packed) + PACKED_BYTES
                if self._is_closed:  # see below
                    buffer.drop_all("already_shutdown")
                return
        if self.is_shut_down:
            self._losses.add("already_shutdown")
            self._metrics.report(self._flusher.stored_spans, self._losses)
            return
        if not len(self._waiting) & _PID_CHECK_MASK and os.getpid() != self._pid:
            self._restart()
        # While the lake can't be written, only time starts the next try: the queue stays full.
        if self._buffer.add(span, is_canary) and self._flusher.is_storing and not self._is_woken:
            self._wake()
        if self._is_closed:  # shut down since the first line, perhaps after the last look into the queue
            self._buffer.drop_all("already_shutdown")

    @property
    def dropped_evaluations(self) -> Mapping[str, int]:
        """Evaluations lost so far, by reason."""
        return self._flusher.evaluations.losses.by_reason()

    def add_evaluation(self, evaluation: Evaluation, *, trace_id: str, span_id: str | None, time_ns: int) -> bool:
        """Queue an evaluation, or count it as lost; return whether it was taken. Never waits."""
        if os.getpid() != self._pid:
            self._restart()
        evaluations = self._flusher.evaluations
        if self.is_shut_down:
            evaluations.losses.add("already_shutdown")
            return False
        is_taken = evaluations.add(evaluation, trace_id=trace_id, span_id=span_id, time_ns=time_ns)
        if evaluations.is_half_full and self._flusher.is_storing and not self._is_woken:
            self._wake()
        if self._is_closed:  # shut down since the check above
            evaluations.drop_all("already_shutdown")
            return False
        return is_taken

    def force_flush(self, timeout_s: float) -> bool:
        """Write what is queued; return whether that was done within `timeout_s`."""
        if self.is_shut_down:
            if self._worker.ident is not None:  # else never started: the child of a process that had shut down
                self._worker.join(timeout_s)
            return not self._worker.is_alive() and self._flusher.is_lake_writable
        if os.getpid() != self._pid:
            self._restart()
        deadline_s = time.monotonic() + timeout_s
        with self._flushed:
            wanted = self._flushes_started + 1
            self._is_publication_wanted = True
            self._wake()
            finished = self._flushed.wait_for(
                lambda: self._flushes_done >= wanted or self._has_stopped, timeout=timeout_s
            )
            is_flushed = finished and self._last_flush_succeeded
        # Even after a failure: a full journal has room again once it is published.
        return self._flusher.wait_until_published(max(0.0, deadline_s - time.monotonic())) and is_flushed

    def shutdown(self, timeout_s: float) -> bool:
        """Write what is queued and stop, within `timeout_s`; return whether all was written."""
        if self.is_shut_down:
            return self._is_all_written
        if os.getpid() != self._pid:
            self._restart()
        self.is_shut_down = True
        withdraw_sink(self)
        self._wake()
        self._worker.join(timeout_s)
        self._is_closed = True
        in_hand = self._flusher.unstored_spans  # some only while the worker is still writing
        if in_hand:
            self._losses.add("not_written", in_hand)
        not_written = in_hand + self._buffer.drop_all("not_written")
        if not_written:
            _logger.error("%d spans could not be written to %s", not_written, self._settings.lake)
        not_written += self._drop_evaluations()
        self._is_all_written = not not_written and self._has_stopped and self._last_flush_succeeded
        self._metrics.report(self._flusher.stored_spans, self._losses)
        return self._is_all_written

    def _drop_evaluations(self) -> int:
        """Count as lost what no flush has stored; return the number."""
        evaluations = self._flusher.evaluations
        in_hand = evaluations.unstored
        if in_hand:
            evaluations.losses.add("not_written", in_hand)
        return in_hand + evaluations.drop_all("not_written")

    def _restart(self) -> None:
        self._flusher.forget()
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._losses = Losses()
        self._buffer = SpanBuffer(self._settings, self._losses)
        self._waiting = self._buffer.waiting  # asked for its length twice as fast as the buffer
        self._flusher = SpanFlusher(self._settings, self._buffer, self._losses)
        self._metrics.restart()
        self._is_closed = self.is_shut_down
        # A SimpleQueue and no Event: setting an Event while the same thread is in the middle of setting it, in a
        # signal handler or a finaliser that ends a span, would wait for ever.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_woken = False  # saves most of the wakes; one too many does no harm
        self._published_s = time.monotonic()
        # Guards the five fields below; notified after every flush.
        self._flushed = threading.Condition()
        self._is_publication_wanted = False
        self._flushes_started = 0
        self._flushes_done = 0
        self._last_flush_succeeded = True
        self._has_stopped = False
        self._worker = threading.Thread(target=self._run, name="tracecanary-writer", daemon=True)
        if not self.is_shut_down:  # a child of a process that had shut down has nothing to write either
            self._worker.start()

    def _wake(self) -> None:
        self._is_woken = True
        self._wakes.put(None)

    def _run(self) -> None:
        is_last = is_ready = False
        while not is_last:
            self._wait(self._settings.flush_interval_s)
            if self._waiting and not is_ready:
                self._get_ready()
                is_ready = True
            is_last = self.is_shut_down
            with self._flushed:
                self._flushes_started += 1
                number = self._flushes_started
                is_publishing = self._is_publication_wanted or is_last or self._is_seal_due()
                self._is_publication_wanted = False
            succeeded = self._flusher.flush(is_publishing=is_publishing)
            if is_publishing:
                self._published_s = time.monotonic()
            if is_last:
                self._flusher.close()
                succeeded = succeeded and self._flusher.is_lake_writable
            self._metrics.report(self._flusher.stored_spans, self._losses)
            with self._flushed:
                self._flushes_done, self._last_flush_succeeded, self._has_stopped = number, succeeded, is_last
                self._flushed.notify_all()

    def _get_ready(self) -> None:
        """Load Arrow while the first span waits; an application without spans is spared that."""
        flush_s = time.monotonic() + self._settings.flush_interval_s
        self._buffer.wake_when_full()
        self._flusher.load_arrow()
        # Spans that came before this thread had noticed the first one have not called it again.
        if not self._is_publication_wanted and not self.is_shut_down and not self._buffer.is_worth_writing:
            self._wait(max(0.0, flush_s - time.monotonic()))

    def _wait(self, timeout_s: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._wakes.get(timeout=timeout_s)
            while True:
                self._wakes.get_nowait()
        self._is_woken = False

    def _is_seal_due(self) -> bool:
        # The next flush would be too late.
        return time.monotonic() - self._published_s + self._settings.flush_interval_s > self._settings.seal_interval_s

    def before_fork(self) -> None:
        """Wait, for a short time, until the writer is done with Arrow and the network."""
        self._flusher.locks.acquire(patience_s=FORK_PATIENCE_S)

    def after_fork_in_parent(self) -> None:
        """Let the writer go on."""
        self._flusher.locks.release()

    def after_fork_in_child(self) -> None:
        """Start anew, with an empty queue, a thread and locks of its own."""
        self._restart()

    def at_exit_of_child(self) -> None:
        """Write what waits, as an exit handler would."""
        self.force_flush(_EXIT_PATIENCE_S)
