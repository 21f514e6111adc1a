"""The span exporter: for setups that configure exporters by name and can't add a processor."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tracecanary.collector.config import capture_settings
from tracecanary.collector.forks import tell_of_forks
from tracecanary.collector.losses import Losses
from tracecanary.collector.span_buffer import SpanBuffer
from tracecanary.collector.span_flusher import FORK_PATIENCE_S, SpanFlusher

_logger = logging.getLogger(__name__)


class CanarySpanExporter(SpanExporter):
    """Writes the spans that a `BatchSpanProcessor` hands over into a lake, one Parquet segment a batch.

    Prefer `CanarySpanProcessor` where you can: an exporter copies no baggage onto spans, never sees spans that are not
    sampled, and the batch processor before it drops the oldest spans uncounted when its queue is full.

    Args:
        lake: Folder of the lake, made if absent, or a URL: see `docs/lakes.md`. Default: the environment variable
            `TRACECANARY_LAKE`.
        config: Configuration file, as for `CanarySpanProcessor`.
        max_pending_spans: Spans that wait here to be tried again while the lake can't be written.
        max_pending_bytes: Memory that those may take, roughly.
        max_segment_spans: Most spans in one Parquet segment.
        spool: Folder that spans wait in for a lake behind a network. Default: one of the user's.
        token: Bearer token for a server.
        headers: Further headers of requests to a server.
        send_timeout_s: How long a request to a server may take.

    Raises:
        ConfigurationError: No lake is given, or a setting can't work; it lists every problem.
    """

    def __init__(
        self,
        lake: str | os.PathLike[str] | None = None,
        *,
        config: str | os.PathLike[str] | None = None,
        max_pending_spans: int | None = None,
        max_pending_bytes: int | None = None,
        max_segment_spans: int | None = None,
        spool: str | os.PathLike[str] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        send_timeout_s: float | None = None,
    ) -> None:
        self._settings = capture_settings(
            lake,
            config=config,
            max_pending_spans=max_pending_spans,
            max_pending_bytes=max_pending_bytes,
            max_segment_spans=max_segment_spans,
            canary_reserve=0.0,
            spool=spool,
            token=token,
            headers=headers,
            send_timeout_s=send_timeout_s,
        )
        self._is_shut_down = False
        self._start()
        tell_of_forks(self)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Spans lost so far in this process, by reason, as for `CanarySpanProcessor`."""
        return self._losses.by_reason()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store `spans`, on the caller's thread. Those that can't be written now are tried again at the next call."""
        if self._is_shut_down:
            self._losses.add("already_shutdown", len(spans))
            return SpanExportResult.FAILURE
        with self._exporting:
            taken = sum(map(self._take, spans))
            is_done = self._flusher.flush() and taken == len(spans)
        return SpanExportResult.SUCCESS if is_done else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Try again to write what could not be written; return whether nothing is left."""
        timeout_s = max(0.0, min(timeout_millis / 1000, threading.TIMEOUT_MAX))
        deadline_s = time.monotonic() + timeout_s
        if not self._exporting.acquire(timeout=timeout_s):
            return False
        try:
            is_done = self._flusher.flush()
        finally:
            self._exporting.release()
        return is_done and self._flusher.wait_until_published(max(0.0, deadline_s - time.monotonic()))

    def shutdown(self) -> None:
        """Write what is left. What can't be written is counted as `not_written`."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        with self._exporting:
            self._flusher.flush()
            self._flusher.close()
            not_written = self._buffer.drop_all("not_written")
        if not_written:
            _logger.error("%d spans could not be written to %s", not_written, self._settings.lake)

    def _take(self, span: ReadableSpan) -> bool:
        waiting = len(self._buffer)
        try:
            self._buffer.add(span, _is_never_canary)
        except Exception:  # noqa: BLE001  one span that is none must not take the batch with it
            self._losses.add("internal")
        return len(self._buffer) > waiting

    def _start(self) -> None:
        self._losses = Losses()
        self._buffer = SpanBuffer(self._settings, self._losses)
        self._flusher = SpanFlusher(self._settings, self._buffer, self._losses)
        # Guards the buffer and the flusher. Reentrant: a span may end in a finaliser, which runs in the middle of this.
        self._exporting = threading.RLock()

    def before_fork(self) -> None:
        """Wait, for a short time, until the exporter is done with Arrow and the network."""
        self._flusher.locks.acquire(patience_s=FORK_PATIENCE_S)

    def after_fork_in_parent(self) -> None:
        """Let the exporter go on."""
        self._flusher.locks.release()

    def after_fork_in_child(self) -> None:
        """Start anew: what waits is the parent's to write."""
        # The parent's journals would look in use for as long as this child lives.
        self._flusher.forget()
        self._start()

    def at_exit_of_child(self) -> None:
        """Write what is left."""
        self.force_flush()


def _is_never_canary(_: Any) -> bool:
    return False
