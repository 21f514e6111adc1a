"""One evaluation as it is posted: what is accepted, and the row it becomes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tracecanary.analytics.question import unix_ns
from tracecanary.analytics.validation import problems_of
from tracecanary.api.parameters import as_utc
from tracecanary.collector.passing import NO_RULES, EvaluatorRules, derive_passed
from tracecanary.schema import EVALUATION_COLUMNS

_NO_TRACE_ID = "0" * 32  # by the specification of OpenTelemetry, of what is not recorded


class Evaluation(BaseModel):
    """One judgement. The newest of the same trace, span, name, version and source wins."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=10_000)

    trace_id: str | None = Field(
        default=None, pattern="^[0-9a-fA-F]{32}$", description="32 hex digits; may be left out with response_id"
    )
    span_id: str | None = Field(default=None, pattern="^[0-9a-fA-F]{16}$", description="null for the whole trace")
    response_id: str | None = Field(
        default=None, min_length=1, max_length=256, description="gen_ai.response.id of the answer judged"
    )
    name: str = Field(min_length=1, max_length=256, description="evaluator; thumbs and escalation are feedback")
    version: str = Field(default="1", min_length=1, max_length=256, description="version of the evaluator")
    score: float | None = None
    label: str | None = None
    passed: bool | None = Field(default=None, description="null: derived from the label, else unscored")
    explanation: str | None = None
    source: Literal["code", "llm", "human"] = "code"
    time: Annotated[datetime, AfterValidator(as_utc)] | None = Field(default=None, description="now, if left out")

    @model_validator(mode="after")
    def _names_what_was_judged(self) -> Evaluation:
        if self.trace_id is None and self.response_id is None:
            raise ValueError("give the trace_id, or the response_id of the answer that was judged")
        if self.trace_id is None and self.span_id is not None:
            raise ValueError("a span_id needs its trace_id")
        if self.trace_id == _NO_TRACE_ID:
            raise ValueError("the trace_id is all zeros, which no trace has: was there a recording span?")
        return self


def evaluation_row(evaluation: Evaluation, now_ns: int, rules: EvaluatorRules = NO_RULES) -> tuple[Any, ...]:
    """Return the values of `evaluation`, received at `now_ns`, in the order of `EVALUATION_COLUMNS`.

    `rules` decide where the configuration says when this evaluator passes; else its label does, when it is read.
    """
    passed, rule = evaluation.passed, rules.get(evaluation.name)
    if rule is not None:
        passed = derive_passed(passed=passed, label=evaluation.label, score=evaluation.score, rule=rule)
    values = evaluation.model_dump() | {
        "passed": passed,
        "trace_id": evaluation.trace_id and evaluation.trace_id.lower(),
        "span_id": evaluation.span_id and evaluation.span_id.lower(),
        "time_unix_ns": now_ns if evaluation.time is None else unix_ns(evaluation.time),
        "received_unix_ns": now_ns,
    }
    return tuple(values[column.name] for column in EVALUATION_COLUMNS)


def reason_of(error: ValidationError) -> str:
    """Return what is wrong with an evaluation, with the names of its fields and their values."""
    known = f"use one of {', '.join(Evaluation.model_fields)}"
    return "; ".join(problems_of(error, whole="evaluation", unknown=known))
