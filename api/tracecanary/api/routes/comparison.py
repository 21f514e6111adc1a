"""`/compare` and what else shows the same answer."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from tracecanary.analytics.answer import Answer, AnswerRow, Verdict, answer_rows, with_metrics
from tracecanary.analytics.comparison import Comparison, compare
from tracecanary.analytics.policy import lake_policy
from tracecanary.analytics.store import Store
from tracecanary.api.parameters import CompareParameters
from tracecanary.api.presentation import report_page
from tracecanary.api.presentation.exposition import EXPOSITION_TYPE, answer_exposition
from tracecanary.api.presentation.wording import plain
from tracecanary.api.routes.bodies import body_of, keep_body, known_body, stamp_of
from tracecanary.api.routes.lake import StoreOfService, fresh_store

router = APIRouter(tags=["comparison"])
Parameters = Annotated[CompareParameters, Query()]


@router.get("/compare", response_model=Answer)
async def get_comparison(parameters: Parameters, request: Request) -> Response:
    """Is the candidate safe to ship in place of the base, and for whom?"""
    # What was answered before needs no worker thread: 32 clients at once wait for these, and not for the answer.
    body = known_body(request) or await run_in_threadpool(_body, request, parameters)
    return Response(body, media_type="application/json")


@router.get("/compare/rows")
def get_comparison_rows(parameters: Parameters, store: StoreOfService) -> list[AnswerRow]:
    """Return the same answer, one flat row a cohort and metric; `time` is when its newest trace started."""
    comparison = _compared(store, parameters)
    return answer_rows(with_metrics(comparison.answer, parameters.metric), time=_row_time(parameters, comparison))


@router.get("/report", response_class=HTMLResponse)
def get_report(parameters: Parameters, store: StoreOfService, request: Request) -> HTMLResponse:
    """Show the same answer as a page."""
    answer = _compared(store, parameters).answer
    return HTMLResponse(report_page(answer, metrics=parameters.metric or None, json_url=f"compare?{request.url.query}"))


@router.get("/compare/metrics", response_class=Response)
def get_comparison_metrics(parameters: Parameters, store: StoreOfService) -> Response:
    """Return the verdicts as numbers for Prometheus: 1 ship, 0 hold or narrow, -1 roll back."""
    return Response(answer_exposition(_compared(store, parameters).answer), media_type=EXPOSITION_TYPE)


# Flagger's webhooks post what they know of the canary; the question stands in the URL all the same.
@router.post("/gate", response_class=PlainTextResponse, include_in_schema=False)
@router.get(
    "/gate", response_class=PlainTextResponse, responses={409: {"description": "anything but ship, with the reason"}}
)
def get_gate(parameters: Parameters, store: StoreOfService) -> PlainTextResponse:
    """Answer 200 if the candidate may ship and 409 otherwise, with one line: for tools that know only success."""
    return _gate(_compared(store, parameters).answer, Verdict.SHIP)


@router.post("/rollback", response_class=PlainTextResponse, include_in_schema=False)
@router.get("/rollback", response_class=PlainTextResponse, responses={409: {"description": "anything but roll_back"}})
def get_rollback(parameters: Parameters, store: StoreOfService) -> PlainTextResponse:
    """Answer 200 if the candidate must be rolled back and 409 otherwise, with one line."""
    return _gate(_compared(store, parameters).answer, Verdict.ROLL_BACK)


def _body(request: Request, parameters: CompareParameters) -> bytes:
    stamp, store = stamp_of(request), fresh_store(request)
    known = body_of(request, snapshot=store.current_snapshot(), stamp=stamp)
    if known is not None:
        return known
    comparison = _compared(store, parameters)
    body = with_metrics(comparison.answer, parameters.metric).model_dump_json(by_alias=True).encode()
    keep_body(request, body, comparison=comparison, stamp=stamp)
    return body


def _gate(answer: Answer, passing: Verdict) -> PlainTextResponse:
    status = HTTPStatus.OK if answer.overall.verdict is passing else HTTPStatus.CONFLICT
    line = plain(f"{answer.overall.verdict}: {'; '.join(answer.overall.reasons)}")
    return PlainTextResponse(f"{line}\n", status_code=status.value)


def _compared(store: Store, parameters: CompareParameters) -> Comparison:
    return compare(store, parameters.question(lake_policy(store.lake, store.metrics)))


def _row_time(parameters: CompareParameters, comparison: Comparison) -> datetime:
    return comparison.last_trace or parameters.to_time or datetime.now(UTC)
