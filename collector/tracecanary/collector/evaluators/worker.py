"""A thread that calls evaluators, and can be left behind.

Python can't stop a thread. One whose evaluator takes too long is left to itself: its answer, should one come, is thrown
away, the thread ends with it, and another takes its place.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import Any

from opentelemetry import context

from tracecanary.collector.evaluators.bound import Evaluator
from tracecanary.collector.evaluators.judged import JudgedSpan

# What instrumentations look at: an evaluator that asks a model is no part of the application's traffic. Private names
# of the API; without them, such calls are traced.
_SUPPRESSING_KEYS = tuple(
    key
    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    if (key := getattr(context, name, None)) is not None
)
_local = threading.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call: a verdict, or the exception; and the processor time it took, s."""

    verdict: Any = None
    error: BaseException | None = None
    cpu_s: float = 0.0


def is_evaluator_thread() -> bool:
    """Tell whether the calling thread runs an evaluator."""
    return getattr(_local, "is_evaluating", False)


class EvaluatorWorker:
    """Calls evaluators one at a time. Only one thread may use it."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Evaluator, JudgedSpan] | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tracecanary-evaluator", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def call(self, evaluator: Evaluator, judged: JudgedSpan, *, time_limit_s: float) -> Outcome | None:
        """Return what came of calling `evaluator`; None when it took too long: then use another worker."""
        self._tasks.put((evaluator, judged))
        try:
            return self._outcomes.get(timeout=time_limit_s)
        except queue.Empty:
            self.leave()
            return None

    def leave(self) -> None:
        """Have the thread end after what it is doing."""
        self._tasks.put(None)

    def _run(self) -> None:
        _local.is_evaluating = True
        suppressed = context.get_current()
        for key in _SUPPRESSING_KEYS:
            suppressed = context.set_value(key, value=True, context=suppressed)
        context.attach(suppressed)
        while (task := self._tasks.get()) is not None:
            self._outcomes.put(_outcome(*task))
            task = None  # the content is dropped before the next one comes


def _outcome(evaluator: Evaluator, judged: JudgedSpan) -> Outcome:
    began_s = time.thread_time()
    try:
        verdict = evaluator.judge(judged)
    except BaseException as error:  # noqa: BLE001  also SystemExit: an evaluator ends no thread of ours
        # Without its traceback, which holds the content.
        return Outcome(error=error.with_traceback(None), cpu_s=time.thread_time() - began_s)
    return Outcome(verdict=verdict, cpu_s=time.thread_time() - began_s)
