"""Runs evaluators on spans that have ended, off the application's threads.

Theory of operation. `offer` runs where a span ends: it looks whether the trace is sampled and the span of a wanted
kind, and queues references to what the span leaves behind. One thread takes them from the queue, finds the content and
has a worker call each evaluator, for a limited time. What evaluators say goes to the sink; the content is dropped. An
evaluator whose last call has not come back is not called again until it has, so that at most one thread for each
evaluator is ever stuck. Whatever is left out is counted, by reason.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context

from tracecanary.collector.evaluation_sinks import EvaluationSink
from tracecanary.collector.evaluators.ancestors import Ancestors
from tracecanary.collector.evaluators.bound import Evaluator, InvalidResultError, evaluations_of
from tracecanary.collector.evaluators.config import EvaluatorSettings
from tracecanary.collector.evaluators.content import judged_span
from tracecanary.collector.evaluators.cpu_budget import CpuBudget
from tracecanary.collector.evaluators.judged import JudgedSpan
from tracecanary.collector.evaluators.waiting import WaitingSpan, otlp_kind, own_attributes, waiting_span
from tracecanary.collector.evaluators.worker import EvaluatorWorker, is_evaluator_thread
from tracecanary.collector.forks import tell_of_forks
from tracecanary.collector.losses import Losses
from tracecanary.collector.normalise import Normaliser, kind_of

_logger = logging.getLogger(__name__)
# As OpenTelemetry's sampler by trace id: the low 64 bits are random.
_TRACE_ID_BITS = 2**64
_EXIT_PATIENCE_S = 5.0


class EvaluatorRunner:
    """Judges spans by evaluators; see above.

    Args:
        evaluators: What judges.
        settings: Limits.
        sink: Takes the evaluations.
        normaliser: The conventions, with an installation's rules.
    """

    def __init__(
        self,
        evaluators: Sequence[Evaluator],
        settings: EvaluatorSettings,
        sink: EvaluationSink,
        normaliser: Normaliser,
    ) -> None:
        self._evaluators = tuple(evaluators)
        self._settings, self._sink, self._normaliser = settings, sink, normaliser
        self._kinds = frozenset(kind for evaluator in evaluators for kind in evaluator.kinds)
        self._limit = max((self._id_limit(evaluator) for evaluator in evaluators), default=0)
        self._is_shut_down = False
        self._thread: threading.Thread | None
        self._start()
        tell_of_forks(self)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Evaluations that were not made so far, by reason."""
        return self._losses.by_reason()

    def started(self, span: Any, parent_context: Context | None) -> None:
        """Remember where a span stands, since only its ancestors may know the agent."""
        parent = trace.get_current_span(parent_context)
        if parent is not trace.INVALID_SPAN and span.context.trace_id % _TRACE_ID_BITS < self._limit:
            self._ancestors.started(span.context.span_id, parent)

    def offer(self, span: Any) -> None:
        """Queue an ended span if it is to be judged. Never waits."""
        context = span.context
        if context.trace_id % _TRACE_ID_BITS >= self._limit:
            return
        try:
            if is_evaluator_thread():
                return  # an evaluator's own span would be judged by it, without end
            attributes = own_attributes(span)
            kind = self._kind(span, attributes)
            if kind not in self._kinds:
                return
            waiting = waiting_span(span, attributes, self._ancestors.agent_of(context.span_id))
        finally:
            self._ancestors.ended(context.span_id)
        evaluators = self._wanted(context.trace_id, kind)
        reason = self._reason_to_leave_out(waiting)
        if reason is not None:
            self._losses.add(reason, len(evaluators))
            return
        if os.getpid() != self._pid:
            self._start()
        with self._changed:
            self._pending += 1
            self._pending_bytes += waiting.size_bytes
            self._queue.append((waiting, evaluators))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tracecanary-evaluators", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all that is queued has been judged; return whether that was so within `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout=timeout_s)

    def shutdown(self, timeout_s: float) -> bool:
        """Judge what is queued, within `timeout_s`, and stop; what is left counts as `not_judged`."""
        self._is_shut_down = True
        is_done = self.drain(timeout_s)
        with self._changed:
            left = sum(len(evaluators) for _, evaluators in self._queue)
            self._queue.clear()
            self._pending = self._pending_bytes = 0
            self._changed.notify_all()
        if left:
            self._losses.add("not_judged", left)
        return is_done

    def _start(self) -> None:
        self._pid = os.getpid()
        self._losses = Losses()
        self._ancestors = Ancestors()
        self._queue: deque[tuple[WaitingSpan, tuple[Evaluator, ...]]] = deque()
        # Guards the queue, the two counts and the thread; notified whenever they change. Reentrant: a span may end in
        # a finaliser, which runs in the middle of anything.
        self._changed = threading.Condition(threading.RLock())
        self._pending = 0
        self._pending_bytes = 0
        self._thread = None
        # Below: of the runner's thread alone.
        self._worker: EvaluatorWorker | None = None
        self._warned: set[Evaluator] = set()
        self._stuck: dict[Evaluator, EvaluatorWorker] = {}
        self._budget = CpuBudget(self._settings.max_cpu_share, now_s=time.monotonic())

    def _id_limit(self, evaluator: Evaluator) -> int:
        rate = self._settings.sample_rate if evaluator.sample_rate is None else evaluator.sample_rate
        return round(rate * _TRACE_ID_BITS)

    def _kind(self, span: Any, attributes: Mapping[str, Any]) -> str:
        scope = span.instrumentation_scope
        scope_name, scope_version = (None, None) if scope is None else (scope.name, scope.version)
        plan = self._normaliser.plan(scope_name, scope_version, otlp_kind(span), tuple(attributes))
        return kind_of(plan, span.name, attributes) or "other"

    def _wanted(self, trace_id: int, kind: str) -> tuple[Evaluator, ...]:
        number = trace_id % _TRACE_ID_BITS
        return tuple(
            evaluator
            for evaluator in self._evaluators
            if kind in evaluator.kinds and number < self._id_limit(evaluator)
        )

    def _reason_to_leave_out(self, waiting: WaitingSpan) -> str | None:
        if self._is_shut_down:
            return "already_shutdown"
        if waiting.size_bytes > self._settings.max_content_bytes:
            return "content_too_large"
        if self._pending >= self._settings.max_pending_spans:
            return "queue_full"
        if self._pending_bytes + waiting.size_bytes > self._settings.max_pending_bytes:
            return "memory_full"
        return None if self._budget.is_left(now_s=time.monotonic()) else "budget"

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_shut_down)
                if not self._queue:
                    break
                waiting, evaluators = self._queue.popleft()
            try:
                self._judge(waiting, evaluators)
            except Exception:
                _logger.debug("a span could not be judged", exc_info=True)
                self._losses.add("internal", len(evaluators))
            with self._changed:
                self._pending = max(0, self._pending - 1)
                self._pending_bytes = max(0, self._pending_bytes - waiting.size_bytes)
                self._changed.notify_all()
            del waiting  # the next one may be long in coming
        if self._worker is not None:
            self._worker.leave()

    def _judge(self, waiting: WaitingSpan, evaluators: Sequence[Evaluator]) -> None:
        if not self._budget.is_left(now_s=time.monotonic()):
            self._losses.add("budget", len(evaluators))
            return
        began_s = time.thread_time()
        judged = judged_span(waiting.span, self._normaliser, agent=waiting.agent)
        for evaluator in evaluators:
            self._call(evaluator, judged, waiting.span.end_ns)
        self._budget.spend(time.thread_time() - began_s, now_s=time.monotonic())

    def _call(self, evaluator: Evaluator, judged: JudgedSpan, time_ns: int) -> None:
        stuck = self._stuck.get(evaluator)
        if stuck is not None and stuck.is_alive:
            self._losses.add("stuck")
            return
        if self._worker is None:
            self._worker = EvaluatorWorker()
        limit_s = self._settings.time_limit_s if evaluator.time_limit_s is None else evaluator.time_limit_s
        outcome = self._worker.call(evaluator, judged, time_limit_s=limit_s)
        if outcome is None:
            self._stuck[evaluator], self._worker = self._worker, None
            self._losses.add("timeout")
            self._warn_once(evaluator, f"took longer than {limit_s:g} s")
            return
        self._budget.spend(outcome.cpu_s, now_s=time.monotonic())
        if outcome.error is not None:
            self._losses.add("error")
            self._warn_once(evaluator, f"failed with {type(outcome.error).__name__}")
            return
        self._keep(outcome.verdict, evaluator, judged, time_ns)

    def _keep(self, verdict: object, evaluator: Evaluator, judged: JudgedSpan, time_ns: int) -> None:
        try:
            evaluations = evaluations_of(verdict, evaluator)
        except InvalidResultError as error:
            self._losses.add("invalid_result")
            self._warn_once(evaluator, str(error))
            return
        for evaluation in evaluations:
            self._sink.add_evaluation(evaluation, trace_id=judged.trace_id, span_id=judged.span_id, time_ns=time_ns)

    def _warn_once(self, evaluator: Evaluator, problem: str) -> None:
        level = logging.DEBUG if evaluator in self._warned else logging.WARNING
        self._warned.add(evaluator)
        _logger.log(level, "the evaluator %s gave no evaluation: %s (counted; said once)", evaluator.name, problem)

    def before_fork(self) -> None:
        """Nothing to wait for: no lock of ours is held for long."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start anew: what waits is the parent's to judge."""
        self._start()

    def at_exit_of_child(self) -> None:
        """Judge what waits."""
        self.drain(_EXIT_PATIENCE_S)
