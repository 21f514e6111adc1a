"""`POST /v1/evaluations`: judgements of traces, from any evaluator or person, at any time."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tracecanary.analytics.question import unix_ns
from tracecanary.api.parameters import as_utc
from tracecanary.api.routes.lake import StoreOfService
from tracecanary.collector.segments import write_segment
from tracecanary.schema import EVALUATION_COLUMNS, LakeTable

router = APIRouter(tags=["evaluations"])
MAX_EVALUATIONS = 10_000


class Evaluation(BaseModel):
    """One judgement. The newest of the same trace, span, name, version and source wins."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=10_000)

    trace_id: str = Field(pattern="^[0-9a-fA-F]{32}$", description="32 hex digits")
    span_id: str | None = Field(default=None, pattern="^[0-9a-fA-F]{16}$", description="null for the whole trace")
    name: str = Field(min_length=1, max_length=256, description="evaluator; thumbs and escalation are feedback")
    version: str = Field(default="1", min_length=1, max_length=256, description="version of the evaluator")
    score: float | None = None
    label: str | None = None
    passed: bool | None = Field(default=None, description="null: derived from the label, else unscored")
    explanation: str | None = None
    source: Literal["code", "llm", "human"] = "code"
    time: Annotated[datetime, AfterValidator(as_utc)] | None = Field(default=None, description="now, if left out")


class EvaluationBatch(BaseModel):
    """Up to 10,000 evaluations; each is accepted or rejected on its own, so they are checked one by one."""

    model_config = ConfigDict(
        json_schema_extra={"properties": {"evaluations": {"items": Evaluation.model_json_schema()}}}
    )

    evaluations: list[Any] = Field(max_length=MAX_EVALUATIONS)


class Rejection(BaseModel):
    """Why the evaluation at `index` was not accepted."""

    index: int
    reason: str


class Receipt(BaseModel):
    """What became of a batch; accepted evaluations are on disk."""

    accepted: int
    rejected: list[Rejection]


@router.post("/v1/evaluations")
def post_evaluations(batch: EvaluationBatch, store: StoreOfService) -> Receipt:
    """Store evaluations. They may come before their trace, or days after it."""
    now_ns = time.time_ns()
    rows: list[tuple[Any, ...]] = []
    rejected: list[Rejection] = []
    for index, item in enumerate(batch.evaluations):
        try:
            rows.append(_row(Evaluation.model_validate(item), now_ns))
        except ValidationError as error:
            rejected.append(Rejection(index=index, reason=_reason(error)))
    if rows:
        write_segment(store.lake, LakeTable.EVALUATIONS, EVALUATION_COLUMNS, rows)
    return Receipt(accepted=len(rows), rejected=rejected)


def _row(evaluation: Evaluation, now_ns: int) -> tuple[Any, ...]:
    values = evaluation.model_dump() | {
        "trace_id": evaluation.trace_id.lower(),
        "span_id": evaluation.span_id and evaluation.span_id.lower(),
        "time_unix_ns": now_ns if evaluation.time is None else unix_ns(evaluation.time),
        "received_unix_ns": now_ns,
    }
    return tuple(values[column.name] for column in EVALUATION_COLUMNS)


def _reason(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'evaluation'}: {item['msg']}" for item in error.errors())
