"""Runs evaluators on spans that have ended, off the application's threads.

Theory of operation. `offer` runs where a span ends: it looks whether the trace is sampled and the span of a wanted
kind, and queues references to what the span leaves behind. A worker takes them from the queue, finds the content and
calls one evaluator after the other; what they say goes to the sink, and the content is dropped. A second thread watches
the time: it leaves a worker behind whose evaluator takes too long, and starts another, which goes on with the next
evaluator. One whose last call has not come back is not called again until it has, so that at most one thread for each
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
from tracecanary.collector.evaluators.waiting import LeftBehind, left_behind
from tracecanary.collector.evaluators.worker import EvaluatorWorker, Outcome, is_evaluator_thread
from tracecanary.collector.forks import tell_of_forks
from tracecanary.collector.losses import Losses
from tracecanary.collector.normalise import Normaliser, kind_of

_logger = logging.getLogger(__name__)
# As OpenTelemetry's sampler by trace id: the low 64 bits are random.
_TRACE_ID_BITS = 2**64
_EXIT_PATIENCE_S = 5.0
# A call may take this much longer than its limit before it is noticed, and the watch wakes no more often than needed.
_WATCH_FRACTION = 0.25
_SHORTEST_WATCH_S, _LONGEST_WATCH_S = 0.005, 0.25


class _Job:
    """A span that waits: what is left to be judged, and by whom."""

    __slots__ = ("agent", "evaluators", "judged", "size_bytes", "span")

    def __init__(self, span: LeftBehind, agent: str | None, evaluators: Sequence[Evaluator], size_bytes: int) -> None:
        self.span = span
        self.agent = agent
        self.evaluators = deque(evaluators)
        self.size_bytes = size_bytes
        self.judged: JudgedSpan | None = None


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
        self._settings, self._sink, self._normaliser = settings, sink, normaliser
        self._limits_s = {evaluator: evaluator.time_limit_s or settings.time_limit_s for evaluator in evaluators}
        # Low 64 bits of a trace id below which an evaluator judges it.
        self._id_limits = {
            evaluator: round(
                (settings.sample_rate if evaluator.sample_rate is None else evaluator.sample_rate) * _TRACE_ID_BITS
            )
            for evaluator in evaluators
        }
        self._id_limit = max(self._id_limits.values(), default=0)
        self._by_kind: dict[str, list[Evaluator]] = {}
        for evaluator in evaluators:
            for kind in evaluator.kinds:
                self._by_kind.setdefault(kind, []).append(evaluator)
        self._watch_s = min(
            max(_WATCH_FRACTION * min(self._limits_s.values(), default=1.0), _SHORTEST_WATCH_S), _LONGEST_WATCH_S
        )
        self._is_shut_down = False
        self._worker: EvaluatorWorker | None
        self._current: _Job | None
        self._start()
        tell_of_forks(self)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Evaluations that were not made so far, by reason."""
        return self._losses.by_reason()

    def started(self, span: Any, parent_context: Context | None) -> None:
        """Remember where a span stands, since only its ancestors may know the agent."""
        parent = trace.get_current_span(parent_context)
        if parent is not trace.INVALID_SPAN and span.context.trace_id % _TRACE_ID_BITS < self._id_limit:
            self._ancestors.started(span.context.span_id, parent)

    def offer(self, span: Any) -> None:
        """Queue an ended span if it is to be judged. Never waits."""
        context = span.context
        number = context.trace_id % _TRACE_ID_BITS
        if number >= self._id_limit:
            return
        try:
            if is_evaluator_thread():
                return  # an evaluator's own span would be judged by it, without end
            left = left_behind(span)
            kind = self._kind(left)
            if kind not in self._by_kind:
                return
            evaluators = [one for one in self._by_kind[kind] if number < self._id_limits[one]]
            if not evaluators:
                return
            agent = self._ancestors.agent_of(context.span_id)
        finally:
            self._ancestors.ended(context.span_id)
        self._add(_Job(left, agent, evaluators, left.size_bytes))

    def drain(self, timeout_s: float) -> bool:
        """Wait until all that is queued has been judged; return whether that was so within `timeout_s`."""
        with self._lock:
            return self._finished.wait_for(lambda: not self._pending, timeout=timeout_s)

    def shutdown(self, timeout_s: float) -> bool:
        """Judge what is queued, within `timeout_s`, and stop; what is left counts as `not_judged`."""
        self._is_shut_down = True
        is_done = self.drain(timeout_s)
        with self._lock:
            waiting = list(self._queue) if self._current is None else [self._current, *self._queue]
            left = sum(len(job.evaluators) for job in waiting)
            self._queue.clear()
            self._current = None
            self._pending = self._pending_bytes = 0
            self._arrived.notify_all()
        if left:
            self._losses.add("not_judged", left)
        return is_done

    def _start(self) -> None:
        self._pid = os.getpid()
        self._losses = Losses()
        self._ancestors = Ancestors()
        # Guards all below but the budget. Reentrant: a span may end in a finaliser, in the middle of anything.
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)
        self._finished = threading.Condition(self._lock)
        self._queue: deque[_Job] = deque()
        self._current = None
        self._pending = 0
        self._pending_bytes = 0
        self._is_started = False
        self._worker = None
        self._stuck: dict[Evaluator, EvaluatorWorker] = {}
        self._warned: set[Evaluator] = set()
        self._budget = CpuBudget(self._settings.max_cpu_share, now_s=time.monotonic())

    def _kind(self, span: LeftBehind) -> str:
        plan = self._normaliser.plan(span.scope_name, span.scope_version, span.kind, tuple(span.attributes))
        return kind_of(plan, span.name, span.attributes) or "other"

    def _add(self, job: _Job) -> None:
        if os.getpid() != self._pid:
            self._start()
        reason = self._reason_to_leave_out(job.size_bytes)
        if reason is not None:
            self._losses.add(reason, len(job.evaluators))
            return
        with self._lock:
            self._pending += 1
            self._pending_bytes += job.size_bytes
            self._queue.append(job)
            if not self._is_started:
                self._is_started = True  # first: in the middle of the next line, a signal handler may end a span
                self._worker = EvaluatorWorker(self._work)
                threading.Thread(target=self._watch, name="tracecanary-evaluator-watch", daemon=True).start()
            self._arrived.notify_all()

    def _reason_to_leave_out(self, size_bytes: int) -> str | None:
        if self._is_shut_down:
            return "already_shutdown"
        if size_bytes > self._settings.max_content_bytes:
            return "content_too_large"
        if self._pending >= self._settings.max_pending_spans:
            return "queue_full"
        if self._pending_bytes + size_bytes > self._settings.max_pending_bytes:
            return "memory_full"
        return None if self._budget.is_left(now_s=time.monotonic()) else "budget"

    def _work(self, worker: EvaluatorWorker) -> None:
        """Judge what is queued, on the thread of `worker`."""
        while (job := self._next_job(worker)) is not None:
            began_s = time.thread_time()
            try:
                self._judge(job, worker)
            except Exception:
                _logger.debug("a span could not be judged", exc_info=True)
                self._losses.add("internal", len(job.evaluators))
            self._budget.spend(time.thread_time() - began_s, now_s=time.monotonic())
            with self._lock:
                if worker.is_left or self._current is not job:
                    return
                self._current = None
                job.judged = None
                self._pending -= 1
                self._pending_bytes -= job.size_bytes
                if not self._pending:
                    self._finished.notify_all()
            del job  # and with it the content: the next one may be long in coming

    def _next_job(self, worker: EvaluatorWorker) -> _Job | None:
        """Wait for something to judge: what a worker was left behind with, else the oldest of the queue."""
        with self._lock:
            self._arrived.wait_for(lambda: bool(self._queue or self._current or self._is_shut_down))
            if worker.is_left:
                return None
            if self._current is None and self._queue:
                self._current = self._queue.popleft()
            return self._current

    def _judge(self, job: _Job, worker: EvaluatorWorker) -> None:
        if job.judged is None:
            if not self._budget.is_left(now_s=time.monotonic()):
                self._losses.add("budget", len(job.evaluators))
                return
            job.judged = judged_span(job.span.captured(), self._normaliser, agent=job.agent)
        while job.evaluators:
            evaluator = job.evaluators[0]
            stuck = self._stuck.get(evaluator)
            if stuck is not None and stuck.is_alive:
                self._losses.add("stuck")
            else:
                outcome = worker.call(evaluator, job.judged, time_limit_s=self._limits_s[evaluator])
                if outcome is None:
                    return  # the job is another worker's now
                self._keep(outcome, evaluator, job)
            job.evaluators.popleft()

    def _keep(self, outcome: Outcome, evaluator: Evaluator, job: _Job) -> None:
        if outcome.error is not None:
            self._losses.add("error")
            self._warn_once(evaluator, f"failed with {type(outcome.error).__name__}")
            return
        try:
            evaluations = evaluations_of(outcome.verdict, evaluator)
        except Exception as error:  # noqa: BLE001  whatever it is, the other evaluators are to judge the span
            self._losses.add("invalid_result")
            is_told = isinstance(error, InvalidResultError)
            self._warn_once(evaluator, str(error) if is_told else f"reading its result failed: {type(error).__name__}")
            return
        trace_id, span_id = job.span.trace_id.to_bytes(16).hex(), job.span.span_id.to_bytes(8).hex()
        for evaluation in evaluations:
            self._sink.add_evaluation(evaluation, trace_id=trace_id, span_id=span_id, time_ns=job.span.end_ns)

    def _watch(self) -> None:
        """Look from time to time whether a call takes too long; sleep while there is nothing to judge."""
        while True:
            late = None
            with self._lock:
                self._arrived.wait_for(lambda: self._pending > 0 or self._is_shut_down)
                if self._is_shut_down and not self._pending:
                    return
                self._finished.wait_for(lambda: not self._pending, timeout=self._watch_s)
                if self._worker is not None and self._worker.leave_if_late(now_s=time.monotonic()):
                    late = self._replace_worker(self._worker)
            if late is not None:  # unlocked: a slow log handler must not hold up whoever ends a span
                self._warn_once(late, f"took longer than {self._limits_s[late]:g} s")

    def _replace_worker(self, late: EvaluatorWorker) -> Evaluator | None:
        """Let another worker go on; return the evaluator that took too long."""
        self._worker = EvaluatorWorker(self._work)
        if self._current is None:  # shut down just now
            return None
        evaluator = self._current.evaluators.popleft()
        self._stuck[evaluator] = late
        self._losses.add("timeout")
        return evaluator

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
