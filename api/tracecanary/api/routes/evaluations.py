"""`POST /v1/evaluations`: judgements of traces, from any evaluator or person, at any time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from tracecanary.api.evaluations import Evaluation, evaluation_row, reason_of
from tracecanary.api.problems import problem
from tracecanary.api.receiver.bodies import check_media_type, content_encoding, received_body
from tracecanary.api.receiver.refusals import refusal_of, unauthenticated
from tracecanary.api.routes.lake import receiver_of
from tracecanary.collector.compression import decompress
from tracecanary.collector.evaluations import EvaluationRow
from tracecanary.collector.intake import Intake
from tracecanary.collector.intake_requests import EvaluationRequest
from tracecanary.collector.passing import EvaluatorRules
from tracecanary.schema import MalformedInputError, TraceCanaryError

router = APIRouter(tags=["evaluations"])
MAX_EVALUATIONS = 10_000
_JSON = "application/json"
_NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
_ITEM = Evaluation.model_json_schema()
_LIST = {"type": "array", "items": _ITEM, "maxItems": MAX_EVALUATIONS}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _JSON: {
                "schema": {
                    "anyOf": [
                        {"type": "object", "required": ["evaluations"], "properties": {"evaluations": _LIST}},
                        _LIST,
                    ]
                }
            },
            _NDJSON[0]: {"schema": {"type": "string", "description": "an evaluation a line"}},
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    401: {"description": "a token is missing or wrong"},
    413: {"description": "the body is too large; send smaller batches"},
    415: {"description": "neither JSON nor JSON lines, or compressed in an unknown way"},
    422: {"description": "the body is no batch; nothing was stored"},
    429: {"description": "too much waits for the disk; send again after `Retry-After` seconds"},
    503: {"description": "the lake can't be written; send again after `Retry-After` seconds"},
}


class Rejection(BaseModel):
    """Why the evaluation at `index` was not accepted."""

    index: int
    reason: str


class Receipt(BaseModel):
    """What became of a batch; accepted evaluations are on disk."""

    accepted: int
    rejected: list[Rejection]


@router.post("/v1/evaluations", openapi_extra=_BODY, responses=_ANSWERS, response_model=Receipt)
async def post_evaluations(request: Request) -> Receipt | JSONResponse:
    """Store evaluations: an object with a list of them, a list, or one a line. They may come before their trace."""
    receiver = receiver_of(request)
    try:
        if not receiver.tokens.allow(request.headers.get("authorization")):
            raise unauthenticated()
        is_lines = check_media_type(request, (_JSON, *_NDJSON)) != _JSON
        encoding = content_encoding(request)
        async with received_body(request, receiver.intake) as body:
            return await _store(receiver.intake, body, encoding=encoding, is_lines=is_lines)
    except TraceCanaryError as error:
        return _refused(error, receiver.intake)


async def _store(intake: Intake, body: bytes, *, encoding: str, is_lines: bool) -> Receipt:
    limit = intake.settings.max_decompressed_bytes
    text = await run_in_threadpool(decompress, body, encoding, max_bytes=limit)
    rows, rejected = await run_in_threadpool(_read, text, intake.pass_rules, is_lines=is_lines)
    if rows:
        await asyncio.wrap_future(intake.submit(EvaluationRequest(rows, len(body))))
    if rejected:
        intake.counts.reject("invalid_evaluation", len(rejected))
    return Receipt(accepted=len(rows), rejected=rejected)


def _read(text: bytes, rules: EvaluatorRules, *, is_lines: bool) -> tuple[list[EvaluationRow], list[Rejection]]:
    items = _lines(text) if is_lines else _listed(text)
    if len(items) > MAX_EVALUATIONS:
        raise MalformedInputError(f"the batch has {len(items)} evaluations, more than {MAX_EVALUATIONS}. Send fewer.")
    now_ns = time.time_ns()
    rows: list[EvaluationRow] = []
    rejected: list[Rejection] = []
    for index, item in enumerate(items):
        try:
            value = json.loads(item) if isinstance(item, bytes) else item
            # Each a little later than the one before: of the same key, the last one wins.
            rows.append(evaluation_row(Evaluation.model_validate(value), now_ns + index, rules))
        except ValidationError as error:
            rejected.append(Rejection(index=index, reason=reason_of(error)))
        except (ValueError, RecursionError) as error:
            rejected.append(Rejection(index=index, reason=f"evaluation: the line is no JSON: {error}"))
    return rows, rejected


def _lines(text: bytes) -> Sequence[bytes]:
    return [line for line in text.splitlines() if line.strip()]


def _listed(text: bytes) -> Sequence[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedInputError(f"the body is no JSON: {error}") from error
    items = document.get("evaluations") if isinstance(document, dict) else document
    if not isinstance(items, list):
        raise MalformedInputError(
            'the body is no batch. Send {"evaluations": [...]}, a JSON array, or one evaluation a line as ' + _NDJSON[0]
        )
    return items


def _refused(error: TraceCanaryError, intake: Intake) -> JSONResponse:
    refusal = refusal_of(error)
    intake.counts.refuse(refusal.reason)
    # A batch that can be read as a body, but not as evaluations.
    status = HTTPStatus.UNPROCESSABLE_ENTITY if refusal.reason == "malformed" else refusal.http_status
    response = problem(
        status, kind=refusal.reason.replace("_", "-"), title="The evaluations were not stored", detail=refusal.message
    )
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.reason == "unauthenticated":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
