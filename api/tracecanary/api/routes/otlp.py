"""`POST /v1/traces` and `/v1/logs`: OTLP over HTTP, protobuf and JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from tracecanary.api.receiver.bodies import check_media_type, content_encoding, media_type, received_body
from tracecanary.api.receiver.receiver import Receiver
from tracecanary.api.receiver.refusals import RefusedError, refusal_of, unauthenticated
from tracecanary.api.receiver.responses import logs_response, trace_response
from tracecanary.api.routes.lake import receiver_of
from tracecanary.collector.intake import Acknowledgement
from tracecanary.collector.intake_requests import IntakeRequest, OtlpBody, TraceRequest
from tracecanary.schema import TraceCanaryError

router = APIRouter(tags=["OTLP"])
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            _JSON: {"schema": {"type": "object"}},
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "stored on disk; `partialSuccess` tells what was rejected", "content": {_JSON: {}}},
    400: {"description": "the body can't be decoded; don't send it again"},
    401: {"description": "a token is missing or wrong"},
    408: {"description": "the body did not arrive"},
    413: {"description": "the body is too large; send smaller batches"},
    415: {"description": "neither protobuf nor JSON, or compressed in an unknown way"},
    429: {"description": "too much waits for the disk; send again after `Retry-After` seconds"},
    503: {"description": "the lake can't be written; send again after `Retry-After` seconds"},
}


@router.post("/v1/traces", openapi_extra=_BODY, responses=_ANSWERS, response_class=Response)
async def post_traces(request: Request) -> Response:
    """Store the spans of an `ExportTraceServiceRequest`. Spans that came before change nothing."""
    return await _export(request, TraceRequest, trace_response)


@router.post("/v1/logs", openapi_extra=_BODY, responses=_ANSWERS, response_class=Response)
async def post_logs(request: Request) -> Response:
    """Store the events `gen_ai.evaluation.result` of an `ExportLogsServiceRequest`; other records are not kept."""
    return await _export(request, receiver_of(request).log_request, logs_response)


async def _export(
    request: Request,
    new_request: Callable[[OtlpBody], IntakeRequest],
    respond: Callable[..., bytes],
) -> Response:
    receiver = receiver_of(request)
    is_json = media_type(request) == _JSON
    try:
        acknowledgement = await _stored(request, receiver, new_request, is_json=is_json)
    except TraceCanaryError as error:
        refusal = refusal_of(error)
        receiver.intake.counts.refuse(refusal.reason)
        return refused(refusal, is_json=is_json)
    return Response(respond(acknowledgement, is_json=is_json), media_type=_JSON if is_json else _PROTOBUF)


async def _stored(
    request: Request, receiver: Receiver, new_request: Callable[[OtlpBody], IntakeRequest], *, is_json: bool
) -> Acknowledgement:
    if not receiver.tokens.allow(request.headers.get("authorization")):
        raise unauthenticated()
    check_media_type(request, (_PROTOBUF, _JSON))
    encoding = content_encoding(request)
    intake = receiver.intake
    async with received_body(request, intake) as contents:
        body = OtlpBody(
            contents=contents,
            is_json=is_json,
            encoding=encoding,
            max_decompressed_bytes=intake.settings.max_decompressed_bytes,
        )
        return await asyncio.wrap_future(intake.submit(new_request(body)))


def refused(refusal: RefusedError, *, is_json: bool) -> Response:
    """Return the answer to a request that was not stored."""
    headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    if refusal.reason == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        refusal.body(is_json=is_json),
        status_code=refusal.http_status,
        media_type=_JSON if is_json else _PROTOBUF,
        headers=headers,
    )
