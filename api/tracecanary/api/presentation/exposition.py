"""The verdict as Prometheus reads it: a number for what understands numbers alone, such as Flagger's metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracecanary.analytics.answer import Answer, Verdict

EXPOSITION_TYPE = CONTENT_TYPE_LATEST
# Only what must go fails a check that wants 0 or more, and only what may ship in full passes one that wants 1.
_VALUES = {Verdict.SHIP: 1.0, Verdict.NARROW: 0.0, Verdict.HOLD: 0.0, Verdict.ROLL_BACK: -1.0}
_LABELS = ("base", "candidate", "cohort")


def answer_exposition(answer: Answer) -> bytes:
    """Write verdicts and traces in Prometheus' text format; the label `cohort` is empty for overall."""
    registry = CollectorRegistry()
    registry.register(_AnswerFigures(answer))
    return generate_latest(registry)


class _AnswerFigures(Collector):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def collect(self) -> Iterable[Metric]:
        answer = self._answer
        arms = (answer.question.base, answer.question.candidate)
        verdict = GaugeMetricFamily(
            "tracecanary_verdict",
            "1 ship, 0 hold or narrow, -1 roll back (a cohort: keep on the base).",
            labels=_LABELS,
        )
        traces = GaugeMetricFamily("tracecanary_traces", "Traces of each arm.", labels=(*_LABELS, "arm"))
        blocks = [("", answer.overall.verdict, answer.overall.traces)]
        blocks += [(cohort.cohort, cohort.verdict, cohort.traces) for cohort in answer.cohorts]
        for cohort, made, counts in blocks:
            verdict.add_metric((*arms, cohort), _VALUES[made])
            traces.add_metric((*arms, cohort, "base"), float(counts.base))
            traces.add_metric((*arms, cohort, "candidate"), float(counts.candidate))
        yield verdict
        yield traces
