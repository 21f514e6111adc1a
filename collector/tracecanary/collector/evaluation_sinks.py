"""Where an evaluation goes whose span is over: to the processors of this process, straight into their lakes."""

from __future__ import annotations

import weakref
from typing import Protocol

from tracecanary.collector.evaluations import Evaluation


class EvaluationSink(Protocol):
    """What takes evaluations that no span carries."""

    def add_evaluation(self, evaluation: Evaluation, *, trace_id: str, span_id: str | None, time_ns: int) -> bool:
        """Queue an evaluation, or count it as lost; return whether it was taken."""


_known: weakref.WeakSet[EvaluationSink] = weakref.WeakSet()


def offer_evaluations(sink: EvaluationSink) -> None:
    """Give `sink` every evaluation from now on, as long as it lives."""
    _known.add(sink)


def withdraw_sink(sink: EvaluationSink) -> None:
    """Give `sink` no more evaluations."""
    _known.discard(sink)


def add_evaluation(evaluation: Evaluation, *, trace_id: str, span_id: str | None, time_ns: int) -> bool:
    """Give an evaluation to every sink; return whether one took it."""
    taken = [
        sink.add_evaluation(evaluation, trace_id=trace_id, span_id=span_id, time_ns=time_ns) for sink in list(_known)
    ]
    return any(taken)
