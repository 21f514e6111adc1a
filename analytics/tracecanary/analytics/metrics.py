"""The metric catalogue: name, kind, unit, margin and role of everything a comparison measures.

Every metric is oriented so that larger is worse. How a trace's value comes about stands in
`queries/question_metric_values_v2.sql`, one branch a metric name. The configuration adds others, whose values are
attributes of spans (`queries/trace_measures_v1.sql`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tracecanary.schema import OwnMetric, Taking


class MetricKind(StrEnum):
    """Which method compares the metric."""

    RATE = "rate"  # share of traces; effect is a difference
    MEAN = "mean"  # mean over traces; effect is a ratio
    QUANTILE = "quantile"  # quantile over traces; effect is a ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    `margin` is on the scale of the effect: 0.01 (one percentage point) for a rate, 1.10 (ten percent more) for a
    mean or quantile. `values_from` names the values that a quantile is taken of.

    A guardrail must stay within its margin for a candidate to ship; the others inform. A required one must be
    measured for anything to ship; the others take part once either arm records them. Harm overall in a critical one
    rolls the candidate back.
    """

    name: str
    kind: MetricKind
    unit: str
    margin: float
    meaning: str
    quantile: float | None = None
    values_from: str = ""
    is_guardrail: bool = True
    is_required: bool = False
    is_critical: bool = False


_RATE, _MEAN, _QUANTILE = MetricKind.RATE, MetricKind.MEAN, MetricKind.QUANTILE

METRICS: tuple[Metric, ...] = (
    Metric(
        name="eval_fail_rate",
        kind=_RATE,
        unit="fraction",
        margin=0.01,
        is_required=True,
        is_critical=True,
        meaning="share of judged traces that the evaluator failed; one row an evaluator",
    ),
    Metric(
        name="error_rate",
        kind=_RATE,
        unit="fraction",
        margin=0.01,
        is_required=True,
        is_critical=True,
        meaning="share of traces that ended in an error: the root span, or the last model call",
    ),
    Metric(
        name="tool_error_rate",
        kind=_RATE,
        unit="fraction",
        margin=0.01,
        is_required=True,
        meaning="share of traces with at least one failed tool call",
    ),
    Metric(
        name="latency_p50",
        kind=_QUANTILE,
        unit="s",
        margin=1.10,
        quantile=0.50,
        values_from="latency",
        is_required=True,
        meaning="median latency of the trace",
    ),
    Metric(
        name="latency_p95",
        kind=_QUANTILE,
        unit="s",
        margin=1.10,
        quantile=0.95,
        values_from="latency",
        is_required=True,
        meaning="95th percentile of the trace's latency",
    ),
    Metric(
        name="latency_p99",
        kind=_QUANTILE,
        unit="s",
        margin=1.20,
        quantile=0.99,
        values_from="latency",
        is_required=True,
        meaning="99th percentile of the trace's latency",
    ),
    Metric(
        name="cost_per_trace",
        kind=_MEAN,
        unit="USD",
        margin=1.10,
        meaning="mean cost of a trace, retries and fallbacks included; unpriced traces are left out and counted",
    ),
    Metric(
        name="retry_rate",
        kind=_RATE,
        unit="fraction",
        margin=0.01,
        meaning="share of traces with a resent model call",
    ),
    Metric(
        name="fallback_rate",
        kind=_RATE,
        unit="fraction",
        margin=0.01,
        meaning="share of traces answered by another model than asked first",
    ),
    Metric(
        name="thumbs_down_rate",
        kind=_RATE,
        unit="fraction",
        margin=0.005,
        meaning="share of all traces that a person marked down",
    ),
    Metric(
        name="escalation_rate",
        kind=_RATE,
        unit="fraction",
        margin=0.005,
        meaning="share of all traces handed over to a person",
    ),
    Metric(
        name="input_tokens",
        kind=_MEAN,
        unit="tokens",
        margin=1.10,
        is_guardrail=False,
        meaning="mean input tokens of a trace",
    ),
    Metric(
        name="output_tokens",
        kind=_MEAN,
        unit="tokens",
        margin=1.10,
        is_guardrail=False,
        meaning="mean output tokens of a trace",
    ),
    Metric(
        name="steps_per_trace",
        kind=_MEAN,
        unit="steps",
        margin=1.10,
        is_guardrail=False,
        meaning="mean number of the agent's steps in a trace",
    ),
)
METRICS_BY_NAME = {metric.name: metric for metric in METRICS}


def catalogue(own: Sequence[OwnMetric] = ()) -> tuple[Metric, ...]:
    """Return every metric: those of any installation, and an installation's own."""
    return (*METRICS, *(_metric_of(declared) for declared in own))


def _metric_of(declared: OwnMetric) -> Metric:
    return Metric(
        name=declared.name,
        kind=MetricKind(declared.kind.value),
        unit=declared.unit,
        margin=declared.margin,
        is_guardrail=declared.is_guardrail,
        meaning=_MEANINGS[declared.take, declared.is_lower_worse].format(declared.attribute),
    )


_MEANINGS = {
    (Taking.ANY, False): "share of traces with {} on any span, of those that state it",
    (Taking.ANY, True): "share of traces with {} on no span, of those that state it",
    (Taking.SUM, False): "mean of {}, added up over the trace, of those that state it",
    (Taking.MAX, False): "mean of the largest {} of the trace, of those that state it",
    (Taking.MIN, False): "mean of the smallest {} of the trace, of those that state it",
    (Taking.LAST, False): "the last {} of the trace, of those that state it",
    (Taking.LAST, True): "share of traces whose last {} is false, of those that state it",
}
