"""`/compare` and what else shows the same answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from tracecanary.analytics.answer import Answer, AnswerRow, answer_rows, with_metrics
from tracecanary.analytics.comparison import Comparison, compare
from tracecanary.api.parameters import CompareParameters
from tracecanary.api.presentation import report_page
from tracecanary.api.routes.lake import StoreOfService

router = APIRouter(tags=["comparison"])
Parameters = Annotated[CompareParameters, Query()]


@router.get("/compare")
def get_comparison(parameters: Parameters, store: StoreOfService) -> Answer:
    """Is the candidate safe to ship in place of the base, and for whom?"""
    return with_metrics(compare(store, parameters.question()).answer, parameters.metric)


@router.get("/compare/rows")
def get_comparison_rows(parameters: Parameters, store: StoreOfService) -> list[AnswerRow]:
    """Return the same answer, one flat row a cohort and metric; `time` is when its newest trace started."""
    comparison = compare(store, parameters.question())
    return answer_rows(with_metrics(comparison.answer, parameters.metric), time=_row_time(parameters, comparison))


@router.get("/report", response_class=HTMLResponse)
def get_report(parameters: Parameters, store: StoreOfService, request: Request) -> HTMLResponse:
    """Show the same answer as a page."""
    answer = compare(store, parameters.question()).answer
    return HTMLResponse(report_page(answer, metrics=parameters.metric or None, json_url=f"compare?{request.url.query}"))


def _row_time(parameters: CompareParameters, comparison: Comparison) -> datetime:
    return comparison.last_trace or parameters.to_time or datetime.now(UTC)
