"""Drilling down: traces worth opening, and how the facts of one came about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from tracecanary.analytics.gathering import select_keys, window_of
from tracecanary.analytics.question import Selection, time_of, unix_ns
from tracecanary.analytics.store import Row, Store
from tracecanary.schema import InvalidQuestionError, UnknownTraceError

TraceState = Literal[
    "any", "failed", "error", "tool_error", "retried", "fell_back", "thumbs_down", "escalated", "contaminated"
]
TRACE_STATES: tuple[str, ...] = get_args(TraceState)
MAX_TRACES = 1000
_NS_PER_S = 1_000_000_000
_PER_UNIT = 1_000_000


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class TraceRow(_Row):
    """One trace and what is known of it. Latency in s, cost in USD; null where it is not known.

    `latency_source` is `root` or `extent`: without a root span, latency is the extent of the spans. What evaluators
    cost is not in `cost_usd`, but in `judge_cost_usd`.
    """

    trace_id: str
    link: str | None
    time: datetime
    arm: str
    cohort: str
    models: list[str]
    latency: float
    latency_source: str
    cost_usd: float | None
    cost_source: str | None
    judge_cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    steps: int
    llm_calls: int
    llm_errors: int
    tool_calls: int
    tool_errors: int
    retries: int | None
    fell_back: bool | None
    error: bool
    error_class: str | None
    failed_by: list[str]
    thumbs_down: bool | None
    escalated: bool | None


class SpanRow(_Row):
    """One span of a trace, and what it counts as.

    `counted` tells whether its tokens and cost are the trace's: not where a span below it bears tokens. `call_id` is
    the first span of the logical model call that it is an attempt of; `resends` says what it does after the attempt
    before it failed: `retry` or `fallback`.
    """

    span_id: str
    parent_span_id: str | None
    name: str | None
    kind: str | None
    time: datetime
    duration_s: float
    status: str
    error_class: str | None
    model: str | None
    agent_name: str | None
    tool_name: str | None
    step: int | None
    convention: str | None
    scope_name: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    cost_source: str | None
    finish_reason: str | None
    call_id: str | None
    is_call: bool | None
    resends: str | None
    counted: bool


class JudgementRow(_Row):
    """One judgement of a trace or of a span of it. `passed` is null where it has no outcome."""

    span_id: str | None
    name: str
    version: str
    source: str
    score: float | None
    label: str | None
    passed: bool | None
    time: datetime


class TraceAnswer(_Row):
    """A trace: the facts that are counted of it, and the spans and evaluations that they come from.

    `facts` is null for a trace in which no model was asked; such a trace takes part in no comparison. `spans` is empty
    when they have expired.
    """

    trace_id: str
    link: str | None
    facts: dict[str, Any] | None
    spans: list[SpanRow]
    evaluations: list[JudgementRow]


def list_traces(
    store: Store, selection: Selection, *, state: str = "any", most: int = 50, url_template: str | None = None
) -> list[TraceRow]:
    """List selected traces, newest first.

    Args:
        store: Where the traces are.
        selection: Which traces; every arm if it names none.
        state: One of `TRACE_STATES`.
        most: No more than these.
        url_template: Where a trace can be opened, with `{trace_id}` in it.

    Raises:
        InvalidQuestionError: The state is unknown, or `most` out of range.
    """
    if state not in TRACE_STATES:
        raise InvalidQuestionError("state", state, f"Use one of {', '.join(TRACE_STATES)}.")
    if not 1 <= most <= MAX_TRACES:
        raise InvalidQuestionError("limit", most, f"Use 1 to {MAX_TRACES}.")
    with store.session() as session:
        store.check(selection)
        select_keys(session, selection)
        rows = session.rows("trace_list_v1", {**window_of(selection), "state": state, "most": most})
    return [_trace_row(row, url_template) for row in rows]


def explain_trace(store: Store, trace_id: str, *, url_template: str | None = None) -> TraceAnswer:
    """Return one trace with everything that its facts come from.

    Raises:
        UnknownTraceError: Nothing of the trace was stored, or it has expired.
    """
    with store.traces_session([trace_id]) as session:
        kept = session.rows("traces_of_v1", {"trace_ids": [trace_id]})
        facts_from = store.facts_from()
        if not kept or _is_expired(kept[0], facts_from):
            raise UnknownTraceError(trace_id, facts_from=facts_from)
        spans, judged = session.rows("trace_spans_v1"), session.rows("evaluations_v1")
    # As they are counted: spans of a trace may have expired, or come too late to count.
    facts = {name: value for name, value in kept[0].items() if name not in _KEPT_ASIDE}
    facts["own_metrics"] = _own_metrics(kept[0]["measures"])
    return TraceAnswer(
        trace_id=trace_id,
        link=_link(url_template, trace_id),
        facts=facts if kept[0]["rollup_key"] is not None else None,
        spans=[_span_row(row) for row in spans],
        evaluations=[
            JudgementRow(time=time_of(row["time_unix_ns"]), **{name: row[name] for name in _JUDGEMENT_FIELDS})
            for row in judged
        ],
    )


def _own_metrics(measures: Mapping[str, int | None] | None) -> dict[str, float | None]:
    """Return values of own metrics, kept in millionths; None where the trace states nothing usable."""
    return {name: None if value is None else value / _PER_UNIT for name, value in (measures or {}).items()}


def _is_expired(row: Row, facts_from: datetime | None) -> bool:
    """Whether a row keeps nothing but the place of a trace whose facts have expired."""
    first_ns = row["first_span_ns"]
    return (
        facts_from is not None and row["rollup_key"] is None and first_ns is not None and first_ns < unix_ns(facts_from)
    )


# What is kept with the facts of a trace, and no fact.
_KEPT_ASIDE = {
    *("revision", "rollup_key", "cluster_group", "first_span_ns", "last_span_ns"),
    *("outcomes", "is_thumbs_down", "is_escalated", "measures"),
}
_JUDGEMENT_FIELDS = ("span_id", "name", "version", "source", "score", "label", "passed")


def _trace_row(row: Row, url_template: str | None) -> TraceRow:
    return TraceRow(
        link=_link(url_template, row["trace_id"]),
        time=time_of(row.pop("start_unix_ns")),
        arm=row.pop("arm_name"),
        cohort=row.pop("cohort_name"),
        latency=row.pop("duration_ns") / _NS_PER_S,
        cost_usd=_usd(row.pop("cost_nano_usd")),
        judge_cost_usd=_usd(row.pop("judge_cost_nano_usd")),
        fell_back=row.pop("is_fallback"),
        error=row.pop("is_error"),
        failed_by=row.pop("failed_by") or [],
        thumbs_down=row.pop("is_thumbs_down"),
        escalated=row.pop("is_escalated"),
        **row,
    )


def _span_row(row: Row) -> SpanRow:
    del row["trace_id"]
    return SpanRow(
        time=time_of(row.pop("start_unix_ns")),
        duration_s=row.pop("duration_ns") / _NS_PER_S,
        cost_usd=_usd(row.pop("cost_nano_usd")),
        counted=row.pop("is_counted"),
        **row,
    )


def _usd(nano_usd: int | None) -> float | None:
    return None if nano_usd is None else nano_usd / _NS_PER_S


def _link(url_template: str | None, trace_id: str) -> str | None:
    return None if url_template is None else url_template.replace("{trace_id}", trace_id)
