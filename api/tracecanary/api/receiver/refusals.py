"""How requests are refused: an error of ours, as the status codes of HTTP and gRPC.

Source: OpenTelemetry Protocol specification 1.9, "Failures" and "Throttling" of OTLP/HTTP and OTLP/gRPC. Senders may
try again after 429 and 503 of HTTP, UNAVAILABLE, and RESOURCE_EXHAUSTED with a RetryInfo; what else fails is dropped.
"""

from __future__ import annotations

from http import HTTPStatus

from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from tracecanary.schema import LakeError, MalformedInputError, OverloadedError, TooLargeError, TraceCanaryError

# A disk is seldom freed within a second.
_LAKE_RETRY_AFTER_S = 5


class RefusedError(TraceCanaryError):
    """Why a request is not stored. `reason` is short and one of few, for metrics."""

    def __init__(
        self, http_status: HTTPStatus, *, grpc_code: int, reason: str, message: str, retry_after_s: int | None = None
    ) -> None:
        self.http_status, self.grpc_code, self.reason = http_status, grpc_code, reason
        self.message, self.retry_after_s = message, retry_after_s
        super().__init__(message)

    def status(self) -> Status:
        """Return what OTLP answers in its body."""
        status = Status(code=self.grpc_code, message=self.message)
        if self.retry_after_s is not None:
            retry = RetryInfo()
            retry.retry_delay.FromSeconds(self.retry_after_s)
            detail = AnyMessage()
            detail.Pack(retry)
            status.details.append(detail)
        return status

    def body(self, *, is_json: bool) -> bytes:
        """Return the status in the request's own form."""
        status = self.status()
        return json_format.MessageToJson(status, indent=None).encode() if is_json else status.SerializeToString()


def refusal_of(error: Exception) -> RefusedError:
    """Return how a request that failed with `error` is answered."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, MalformedInputError):
        return malformed(str(error))
    if isinstance(error, TooLargeError):
        return too_large(str(error))
    if isinstance(error, OverloadedError):
        return RefusedError(
            HTTPStatus.TOO_MANY_REQUESTS,
            grpc_code=Code.RESOURCE_EXHAUSTED,
            reason="overloaded",
            message=str(error),
            retry_after_s=error.retry_after_s,
        )
    if isinstance(error, LakeError):
        return RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            grpc_code=Code.UNAVAILABLE,
            reason="lake_unavailable",
            # Paths and causes are for the service's log.
            message="the service can't store anything now; its log says why. Send again later.",
            retry_after_s=_LAKE_RETRY_AFTER_S,
        )
    raise error


def malformed(message: str) -> RefusedError:
    """Return the answer to a body that can't be decoded."""
    return RefusedError(HTTPStatus.BAD_REQUEST, grpc_code=Code.INVALID_ARGUMENT, reason="malformed", message=message)


def too_large(message: str) -> RefusedError:
    """Return the answer to a body above a limit."""
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        grpc_code=Code.INVALID_ARGUMENT,
        reason="too_large",
        message=message,
    )


def unsupported(message: str) -> RefusedError:
    """Return the answer to a body of an unknown type or encoding."""
    return RefusedError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        grpc_code=Code.INVALID_ARGUMENT,
        reason="unsupported",
        message=message,
    )


def too_slow(message: str) -> RefusedError:
    """Return the answer to a body that does not arrive."""
    return RefusedError(
        HTTPStatus.REQUEST_TIMEOUT, grpc_code=Code.DEADLINE_EXCEEDED, reason="too_slow", message=message
    )


def disconnected() -> RefusedError:
    """Return the answer, which nobody will read, to a sender that went before its body had arrived."""
    return RefusedError(
        HTTPStatus.BAD_REQUEST,
        grpc_code=Code.CANCELLED,
        reason="disconnected",
        message="the connection was closed before the body had arrived.",
    )


def unauthenticated() -> RefusedError:
    """Return the answer to a missing or wrong token."""
    return RefusedError(
        HTTPStatus.UNAUTHORIZED,
        grpc_code=Code.UNAUTHENTICATED,
        reason="unauthenticated",
        message="send a token that this service accepts, as `Authorization: Bearer <token>`.",
    )
