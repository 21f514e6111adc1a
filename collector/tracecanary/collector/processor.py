"""The span processor: an application's finished spans, straight into the lake.

`on_start` and `on_end` run on the application's thread: they copy values and return. Nothing here raises into the
application. `span_writer.py` says what happens then.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from tracecanary.collector.attributes import CANARY_BAGGAGE
from tracecanary.collector.config import capture_settings
from tracecanary.collector.context import is_valid_baggage_value
from tracecanary.collector.evaluators.bound import bound_evaluators
from tracecanary.collector.evaluators.config import EvaluatorSettings
from tracecanary.collector.evaluators.judged import Judge
from tracecanary.collector.evaluators.runner import EvaluatorRunner
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.recording import mark_step
from tracecanary.collector.selection import RememberedTraces, Select, has_canary_mark, is_selected, predicate
from tracecanary.collector.self_metrics import SelfMetrics
from tracecanary.collector.sigterm import flush_on_sigterm as flush_at_sigterm
from tracecanary.collector.span_writer import SpanWriter

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_logger = logging.getLogger(__name__)
_DEFAULT_TIMEOUT_MILLIS = 30_000
_NOTHING: Mapping[str, object] = {}


class CanarySpanProcessor(SpanProcessor):
    """Captures the spans of an application's own OpenTelemetry setup into a lake.

    `provider.add_span_processor(CanarySpanProcessor(lake="path/to/lake"))` is all an application needs; exporters that
    are already there stay. Several processes may write to one lake. What is not given is read from the environment
    variables in `docs/capture.md`, else has a default.

    Args:
        lake: Folder of the lake, made if absent, or a URL: see `docs/lakes.md`. Default: the environment variable
            `TRACECANARY_LAKE`.
        config: Configuration file, see `docs/configuration.md`. Default: the environment variable
            `TRACECANARY_CONFIG`. With one that can't be used, an error is logged and spans are captured without it.
        select: Which traffic is kept. An attribute or baggage name that must be there; a mapping of such names to a
            value or values, of which one must match; or a function of the span's attributes and the baggage. Once a
            span of a trace is selected, so are all that start or end later. Default: everything is kept.
        flush_interval_s: Longest time a finished span waits in memory, and so what a killed process loses.
        seal_interval_s: Longest time until it can be seen in the lake; till then it is in a journal beside it.
        max_pending_spans: Spans that may wait; further ones are dropped and counted in `dropped`.
        max_pending_bytes: Memory that waiting spans may take, roughly.
        max_segment_spans: Most spans in one Parquet segment.
        max_journal_bytes: Disk that the journal may take while the lake can't be written.
        canary_reserve: Fraction of the queue that only spans with cohort, variant or pair id may fill.
        flush_on_sigterm: Write what waits when the process gets SIGTERM, then do what would have been done.
        spool: Folder that spans wait in for a lake behind a network. Default: one of the user's.
        token: Bearer token for a server.
        headers: Further headers of requests to a server.
        send_timeout_s: How long a request to a server may take.
        evaluators: What judges spans, on threads of its own, before their content is dropped: see
            `docs/evaluations.md`.
        evaluator_settings: How many spans are judged, and what that may cost.
        keep_explanations: Store why evaluations judged as they did. It may quote prompts and completions.
        meter_provider: Where the processor reports on itself, if `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is true.

    Raises:
        ConfigurationError: No lake is given, or a setting can't work; it lists every problem.
    """

    def __init__(
        self,
        lake: str | os.PathLike[str] | None = None,
        *,
        config: str | os.PathLike[str] | None = None,
        select: Select | None = None,
        flush_interval_s: float | None = None,
        seal_interval_s: float | None = None,
        max_pending_spans: int | None = None,
        max_pending_bytes: int | None = None,
        max_segment_spans: int | None = None,
        max_journal_bytes: int | None = None,
        canary_reserve: float | None = None,
        flush_on_sigterm: bool | None = None,
        spool: str | os.PathLike[str] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        send_timeout_s: float | None = None,
        evaluators: Sequence[Judge] = (),
        evaluator_settings: EvaluatorSettings | None = None,
        keep_explanations: bool | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        settings = capture_settings(
            lake,
            config=config,
            flush_interval_s=flush_interval_s,
            seal_interval_s=seal_interval_s,
            max_pending_spans=max_pending_spans,
            max_pending_bytes=max_pending_bytes,
            max_segment_spans=max_segment_spans,
            max_journal_bytes=max_journal_bytes,
            canary_reserve=canary_reserve,
            flush_on_sigterm=flush_on_sigterm,
            spool=spool,
            token=token,
            headers=headers,
            send_timeout_s=send_timeout_s,
            keep_explanations=keep_explanations,
        )
        self._select = predicate(select) if select is not None else None
        # What else the context may tell about a new span belongs here.
        self._baggage = tuple(dict.fromkeys((*CANARY_BAGGAGE, *settings.rules.baggage_dimensions)))
        self._canary_traces = RememberedTraces()
        bound = bound_evaluators(evaluators)
        self._writer = SpanWriter(settings, metrics=SelfMetrics(meter_provider))
        limits = evaluator_settings or EvaluatorSettings()
        self._evaluators = EvaluatorRunner(bound, limits, self._writer, Normaliser(settings.rules)) if bound else None
        if settings.flush_on_sigterm:
            flush_at_sigterm(self.force_flush)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Spans lost so far in this process, by reason.

        `queue_full` and `memory_full` (it came faster than it could be written), `already_shutdown`, `malformed` (it
        can't be stored), `rejected` (a server will never take it), `not_written` (at shutdown), `internal`. What
        `select` leaves out is not lost.
        """
        return self._writer.dropped

    @property
    def is_accelerated(self) -> bool:
        """Whether compiled code copies spans: where there was no C compiler at installation, Python alone does."""
        return self._writer.is_accelerated

    @property
    def dropped_evaluations(self) -> Mapping[str, int]:
        """Evaluations lost, or not made by `evaluators`, so far in this process, by reason.

        Not made: `queue_full`, `memory_full`, `content_too_large`, `budget` (limits of the settings), `timeout`,
        `stuck` (the last call has not come back), `error`, `invalid_result`, `not_judged` (at shutdown),
        `already_shutdown`, `internal`. Lost: `queue_full`, `memory_full`, `malformed`,
        `rejected` (a server will never take it), `not_written`.
        """
        left_out = Counter(self._evaluators.left_out if self._evaluators is not None else {})
        return dict(left_out + Counter(self._writer.dropped_evaluations))

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set what the context tells about the span: its step; cohort, variant and pair id unless it has its own."""
        try:
            context = get_current() if parent_context is None else parent_context
            # Most contexts hold the parent and nothing else: that costs less to see than to ask for step and baggage.
            if len(context) > (span.parent is not None):
                mark_step(span, context)
                carried = baggage.get_all(context)
            else:
                carried = _NOTHING
            if carried:
                given = {
                    name: str(carried[name]) for name in self._baggage if is_valid_baggage_value(carried.get(name))
                }
                if given:
                    own = span.attributes or _NOTHING  # a remote caller can forge baggage, but not this
                    span.set_attributes({name: value for name, value in given.items() if name not in own})
                    if self._select is None and has_canary_mark(given, _NOTHING):
                        self._canary_traces.add(span.context.trace_id)
            if self._select is not None:
                self._is_kept(span, carried)
            if self._evaluators is not None:
                self._evaluators.started(span, parent_context)
        except Exception:
            _logger.debug("the context could not be copied onto a span", exc_info=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the values of a finished span. Never waits for the writer, never raises."""
        try:
            if self._select is None or self._is_kept(span, _NOTHING):
                self._writer.add(span, self._is_canary)
                if self._evaluators is not None:
                    self._offer(self._evaluators, span)
        except Exception:  # noqa: BLE001  an exception here would reach the application
            self._writer.drop("internal")

    def force_flush(self, timeout_millis: int = _DEFAULT_TIMEOUT_MILLIS) -> bool:
        """Write what is queued; return whether that was done within `timeout_millis`.

        What waits for `evaluators` is judged first, for half the time at most. Spans that can't be stored at all are
        counted in `dropped` and don't make it fail.
        """
        deadline_s = time.monotonic() + _seconds(timeout_millis)
        is_judged = self._evaluators is None or self._evaluators.drain(_seconds(timeout_millis) / 2)
        return self._writer.force_flush(max(0.0, deadline_s - time.monotonic())) and is_judged

    # OpenTelemetry specification, "SpanProcessor: Shutdown": it should let the caller know whether it succeeded.
    def shutdown(self, timeout_millis: int = _DEFAULT_TIMEOUT_MILLIS) -> bool:  # type: ignore[override]
        """Write what is queued and stop, within `timeout_millis`; return whether all was written.

        What waits for `evaluators` is judged first, for half the time at most. What can't be written is counted as
        `not_written`.
        """
        deadline_s = time.monotonic() + _seconds(timeout_millis)
        is_judged = self._evaluators is None or self._evaluators.shutdown(_seconds(timeout_millis) / 2)
        return self._writer.shutdown(max(0.0, deadline_s - time.monotonic())) and is_judged

    def _offer(self, evaluators: EvaluatorRunner, span: ReadableSpan) -> None:
        try:
            evaluators.offer(span)
        except Exception:  # the span itself is captured
            _logger.debug("a span could not be queued for evaluators", exc_info=True)

    def _is_kept(self, span: ReadableSpan, carried: Mapping[str, object]) -> bool:
        trace_id = span.context.trace_id
        if trace_id in self._canary_traces:
            return True
        if self._select is not None and not is_selected(self._select, span.attributes or {}, carried):
            return False
        self._canary_traces.add(trace_id)
        return True

    def _is_canary(self, span: Any) -> bool:
        # With `select`, nothing but the canary's traffic comes this far. Asked only when the queue is nearly full.
        if self._select is not None or span.context.trace_id in self._canary_traces:
            return True
        return has_canary_mark(span.attributes or {}, _NOTHING)


def _seconds(timeout_millis: int) -> float:
    return min(max(0.0, timeout_millis / 1000), threading.TIMEOUT_MAX)
