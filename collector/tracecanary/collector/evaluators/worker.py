"""A thread that calls evaluators, and can be left behind.

Python can't stop a thread. One whose evaluator takes too long is left to itself: its answer, should one come, is thrown
away, the thread ends with it, and another takes its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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
    """What came of a call: a verdict, or the exception."""

    verdict: Any = None
    error: BaseException | None = None


def is_evaluator_thread() -> bool:
    """Tell whether the calling thread runs an evaluator."""
    return getattr(_local, "is_evaluating", False)


class EvaluatorWorker:
    """Calls evaluators one after the other.

    Args:
        work: Runs on the worker's thread; it calls `call` as often as there is something to judge, and returns when
            there is nothing any more, or the worker `is_left`.
    """

    def __init__(self, work: Callable[[EvaluatorWorker], None]) -> None:
        self._work = work
        # Guards the two below: whether a call came back in time is decided once.
        self._lock = threading.Lock()
        self._deadline_s: float | None = None
        self._is_left = False
        self._thread = threading.Thread(target=self._run, name="tracecanary-evaluator", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    @property
    def is_left(self) -> bool:
        """Whether it was left behind."""
        return self._is_left

    def call(self, evaluator: Evaluator, judged: JudgedSpan, *, time_limit_s: float) -> Outcome | None:
        """Return what came of calling `evaluator`; None when the worker was left behind meanwhile."""
        with self._lock:
            self._deadline_s = time.monotonic() + time_limit_s
        outcome = _outcome(evaluator, judged)
        with self._lock:
            self._deadline_s = None
            return None if self._is_left else outcome

    def leave_if_late(self, *, now_s: float) -> bool:
        """Leave the worker behind if its call has taken too long; return whether that is so."""
        with self._lock:
            if self._deadline_s is None or now_s < self._deadline_s:
                return False
            self._is_left = True
            return True

    def _run(self) -> None:
        _local.is_evaluating = True
        suppressed = context.get_current()
        for key in _SUPPRESSING_KEYS:
            suppressed = context.set_value(key, value=True, context=suppressed)
        context.attach(suppressed)
        self._work(self)


def _outcome(evaluator: Evaluator, judged: JudgedSpan) -> Outcome:
    try:
        return Outcome(verdict=evaluator.judge(judged))
    except BaseException as error:  # noqa: BLE001  also SystemExit: an evaluator ends no thread of ours
        # Without its traceback, which holds the content.
        return Outcome(error=error.with_traceback(None))
