"""`/traces`: the traces behind the numbers, and how the facts of one came about."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from tracecanary.analytics.traces import TraceAnswer, TraceRow, explain_trace, list_traces
from tracecanary.api.config import ServiceSettings
from tracecanary.api.parameters import NoParameters, TracesParameters
from tracecanary.api.routes.lake import StoreOfService

router = APIRouter(tags=["traces"])


@router.get("/traces")
def get_traces(
    parameters: Annotated[TracesParameters, Query()], store: StoreOfService, request: Request
) -> list[TraceRow]:
    """List traces worth opening, newest first."""
    return list_traces(
        store,
        parameters.selection(*parameters.arm),
        state=parameters.state,
        most=parameters.limit,
        url_template=_url_template(request),
    )


@router.get("/traces/{trace_id}")
def get_trace(
    trace_id: str, _: Annotated[NoParameters, Query()], store: StoreOfService, request: Request
) -> TraceAnswer:
    """Show one trace: its facts, and the spans and evaluations that they come from."""
    return explain_trace(store, trace_id, url_template=_url_template(request))


def _url_template(request: Request) -> str | None:
    settings: ServiceSettings = request.app.state.settings
    return settings.trace_url
