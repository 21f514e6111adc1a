"""Errors as RFC 9457 problem details: what happened, with which value, and what to do next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tracecanary.schema import (
    ConfigurationError,
    InvalidQuestionError,
    LakeError,
    StoreError,
    UnknownArmError,
    UnknownTraceError,
)

MEDIA_TYPE = "application/problem+json"
_ErrorT = TypeVar("_ErrorT", bound=Exception)


def problem(
    status: HTTPStatus, *, kind: str, title: str, detail: str, extra: Mapping[str, Any] | None = None
) -> JSONResponse:
    """Return a problem document of the type `kind`, with `extra` members of that type."""
    body = {
        "type": f"urn:tracecanary:problem:{kind}",
        "title": title,
        "status": status.value,
        "detail": detail,
        **(extra or {}),
    }
    return JSONResponse(body, status_code=status.value, media_type=MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every foreseen error of `app` with a problem document."""
    _handle(app, UnknownArmError, _unknown_arm)
    _handle(app, UnknownTraceError, _unknown_trace)
    _handle(app, InvalidQuestionError, _invalid_question)
    _handle(app, RequestValidationError, _invalid_request)
    _handle(app, ConfigurationError, _unusable_configuration)
    _handle(app, LakeError, _lake_unavailable)
    _handle(app, StoreError, _lake_unavailable)
    _handle(app, HTTPException, _http_error)
    _handle(app, Exception, _failure)


def _handle(app: FastAPI, kind: type[_ErrorT], answer: Callable[[_ErrorT], JSONResponse]) -> None:
    async def handler(_: Request, error: Exception) -> JSONResponse:
        return answer(cast(_ErrorT, error))

    handler_type: Callable[[Request, Exception], Awaitable[JSONResponse]] = handler
    app.add_exception_handler(kind, handler_type)


def _unknown_arm(error: UnknownArmError) -> JSONResponse:
    return problem(
        HTTPStatus.NOT_FOUND,
        kind="unknown-arm",
        title="No stored trace has this arm",
        detail=str(error),
        extra={"parameter": error.parameter, "value": error.arm, "seen": list(error.seen)},
    )


def _unknown_trace(error: UnknownTraceError) -> JSONResponse:
    return problem(HTTPStatus.NOT_FOUND, kind="unknown-trace", title="There is no such trace", detail=str(error))


def _invalid_question(error: InvalidQuestionError) -> JSONResponse:
    given = error.value if isinstance(error.value, str | None) else repr(error.value)  # a NaN is no JSON
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        kind="invalid-parameter",
        title="A parameter has no valid value",
        detail=str(error),
        extra={"errors": [{"parameter": error.parameter, "value": given, "remedy": error.remedy}]},
    )


def _invalid_request(error: RequestValidationError) -> JSONResponse:
    errors = [_request_error(item) for item in error.errors()]
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        kind="invalid-request",
        title="The request has missing or invalid values",
        detail=" ".join(f"{item['parameter']}: {item['remedy']}" for item in errors),
        extra={"errors": errors},
    )


def _request_error(item: Mapping[str, Any]) -> dict[str, Any]:
    location: Sequence[object] = item["loc"]
    name = ".".join(str(part) for part in location[1:]) or str(location[0])
    if location == ("body",) and item["type"] == "model_attributes_type":
        return {"parameter": name, "value": None, "remedy": "send a JSON object, with Content-Type: application/json."}
    if item["type"] == "missing":
        return {"parameter": name, "value": None, "remedy": "it is missing; add it, see /docs."}
    value = item.get("input")
    shown = value if isinstance(value, str | int | float | bool) else None
    if item["type"] == "extra_forbidden":
        return {
            "parameter": name,
            "value": shown,
            "remedy": "there is no such parameter; check the spelling, see /docs.",
        }
    message = str(item["msg"]).removeprefix("Value error, ")
    given = "" if shown is None else f" (given: {shown!r})"
    return {"parameter": name, "value": shown, "remedy": f"{message}{given}."}


def _lake_unavailable(error: LakeError | StoreError) -> JSONResponse:
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE, kind="lake-unavailable", title="The lake can't be used", detail=str(error)
    )


def _unusable_configuration(error: ConfigurationError) -> JSONResponse:
    # The configuration file is read at the start; the lake's policy at every question, so that it can be changed.
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        kind="unusable-configuration",
        title="The policy of the lake can't be used",
        detail=str(error),
    )


def _failure(error: Exception) -> JSONResponse:
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        kind="failure",
        title="The service failed",
        detail=f"{type(error).__name__} in the service; its log has the details. Please report it with the request.",
    )


def _http_error(error: HTTPException) -> JSONResponse:
    status = HTTPStatus(error.status_code)
    detail = f"{error.detail}. GET /docs lists what there is." if status is HTTPStatus.NOT_FOUND else str(error.detail)
    response = problem(status, kind=status.phrase.lower().replace(" ", "-"), title=status.phrase, detail=detail)
    response.headers.update(error.headers or {})  # such as Allow
    return response
