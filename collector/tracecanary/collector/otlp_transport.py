"""Handing one OTLP request to a server, by HTTP or gRPC, and what it answered.

Source: OpenTelemetry Protocol specification 1.9, "OTLP/HTTP Response", "OTLP/gRPC Response", "Failures".
"""

from __future__ import annotations

import email.utils
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from tracecanary.collector.otlp_wire import read_fields
from tracecanary.schema import LakeTable, OtlpServer

_TRACES_PATH, _LOGS_PATH = "/v1/traces", "/v1/logs"
_METHODS = {
    LakeTable.SPANS: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    LakeTable.EVALUATIONS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"
_MAX_ANSWER_BYTES = 64 * 1024
_MAX_MESSAGE_LENGTH = 300
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Of a log-in or a proxy: the rows are nowhere.
_PAGE = "a web page answered, and no server that takes OTLP"
# Numbers of fields of ExportTraceServiceResponse and its ExportTracePartialSuccess, of google.rpc.Status and RetryInfo.
_PARTIAL_SUCCESS, _REJECTED, _ERROR_MESSAGE = 1, 1, 2
_STATUS_MESSAGE, _STATUS_DETAILS, _ANY_URL, _ANY_VALUE, _RETRY_DELAY, _SECONDS, _NANOS = 2, 3, 1, 2, 1, 1, 2


class Outcome(Enum):
    """What became of a request."""

    TAKEN = "taken"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"  # it would be refused again, however often it is sent
    FAILED = "failed"  # to be tried again: the server is out of reach, overloaded, or does not let us


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered, or why there is no answer.

    Attributes:
        outcome: What became of the request.
        message: What the server said, and the remedy where one is known.
        rejected: Rows of a request that was taken that the server left out.
        retry_after_s: How long the server wants to be left alone; None when it did not say.
    """

    outcome: Outcome
    message: str = ""
    rejected: int = 0
    retry_after_s: float | None = None


class Transport(Protocol):
    """A way to a server. Any thread may use it."""

    def send(self, table: LakeTable, body: bytes, *, timeout_s: float) -> Reply:
        """Hand over a request with rows of `table`: traces, or logs; never raises because of the server."""


class _RefusedRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the failure it is to a POST.

    Followed as a GET without the rows, it ends at a page that answers 200, and the rows would count as taken; and the
    token would go to whatever host is named.
    """

    def redirect_request(self, *_: Any) -> None:
        return None


class HttpTransport:
    """OTLP/HTTP in protobuf, with gzip, through the proxy that the environment names."""

    def __init__(self, server: OtlpServer, headers: Mapping[str, str]) -> None:
        url = str(server)
        self._urls = {LakeTable.SPANS: url, LakeTable.EVALUATIONS: url.removesuffix(_TRACES_PATH) + _LOGS_PATH}
        self._headers = {
            **headers,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": "tracecanary",
        }
        self._opener = urllib.request.build_opener(_RefusedRedirects)

    def send(self, table: LakeTable, body: bytes, *, timeout_s: float) -> Reply:
        """See `Transport`."""
        import gzip

        compressed = gzip.compress(body, compresslevel=1)  # higher levels gain a tenth for twice the time
        request = urllib.request.Request(self._urls[table], compressed, self._headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=timeout_s) as response:
                if response.headers.get_content_type() == "text/html":
                    return Reply(outcome=Outcome.FAILED, message=f"{_PAGE}. Check the URL, and what stands in between")
                return taken(response.read(_MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return _http_failure(error.code, error.headers, _read_answer(error))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            return Reply(outcome=Outcome.FAILED, message=f"{reason}. Check that the server runs, and the network")


class GrpcTransport:
    """OTLP/gRPC, with gzip. Needs the package grpcio."""

    def __init__(self, server: OtlpServer, headers: Mapping[str, str]) -> None:
        import grpc

        host = f"[{server.host}]" if ":" in server.host else server.host
        target, compression = f"{host}:{server.port}", grpc.Compression.Gzip
        if server.is_secure:
            channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(), compression=compression)
        else:
            channel = grpc.insecure_channel(target, compression=compression)
        # Without serializers, a call takes and gives bytes.
        self._exports: dict[LakeTable, Any] = {table: channel.unary_unary(method) for table, method in _METHODS.items()}
        self._metadata = tuple((name.lower(), value) for name, value in headers.items())

    def send(self, table: LakeTable, body: bytes, *, timeout_s: float) -> Reply:
        """See `Transport`."""
        import grpc

        try:
            return taken(self._exports[table](body, timeout=timeout_s, metadata=self._metadata))
        except grpc.RpcError as error:
            return _grpc_failure(error)


def transport_to(server: OtlpServer, headers: Mapping[str, str]) -> Transport:
    """Return the way to `server`; every request carries `headers`."""
    return GrpcTransport(server, headers) if server.is_grpc else HttpTransport(server, headers)


def taken(answer: bytes) -> Reply:
    """Return what an `ExportTraceServiceResponse`, or one for logs, says."""
    try:
        partial = _message(answer, _PARTIAL_SUCCESS)
        rejected = next((value for field, value in read_fields(partial) if field == _REJECTED), 0)
        message = _message(partial, _ERROR_MESSAGE).decode("utf-8", "replace")[:_MAX_MESSAGE_LENGTH]
    except ValueError:  # it was taken, whatever else it says
        return Reply(outcome=Outcome.TAKEN)
    return Reply(outcome=Outcome.TAKEN, message=message, rejected=rejected if isinstance(rejected, int) else 0)


def _http_failure(status: int, headers: Any, answer: bytes) -> Reply:
    said = f"{status} {http.client.responses.get(status, '')}".strip() + _said(_status_message(answer))
    if status in {400, 415, 422}:
        return Reply(outcome=Outcome.MALFORMED, message=said)
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Reply(outcome=Outcome.TOO_LARGE, message=said)
    remedies = {
        401: ". Set TRACECANARY_TOKEN to a token of the server's",
        403: ". Set TRACECANARY_TOKEN to a token that may write",
        404: ". Check the URL: rows go to its paths /v1/traces and /v1/logs",
        405: ". Check the URL: rows go to its paths /v1/traces and /v1/logs",
    }
    if status in _REDIRECTS:
        remedies[status] = f". Give the URL that it points to: {str(headers.get('Location'))[:_MAX_MESSAGE_LENGTH]!r}"
    return Reply(
        outcome=Outcome.FAILED,
        message=said + remedies.get(status, ""),
        retry_after_s=_seconds_until(headers.get("Retry-After"), time.time()),
    )


def _grpc_failure(error: Any) -> Reply:
    import grpc

    code: grpc.StatusCode = error.code()
    said = code.name + _said(str(error.details() or "")[:_MAX_MESSAGE_LENGTH])
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return Reply(outcome=Outcome.MALFORMED, message=said)
    remedies = {
        grpc.StatusCode.UNAUTHENTICATED: ". Set TRACECANARY_TOKEN to a token of the server's",
        grpc.StatusCode.PERMISSION_DENIED: ". Set TRACECANARY_TOKEN to a token that may write",
        grpc.StatusCode.UNIMPLEMENTED: ". Check the port: this server takes no OTLP by gRPC",
        grpc.StatusCode.UNAVAILABLE: ". Check that the server runs, and the network",
    }
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return Reply(
        outcome=Outcome.FAILED, message=said + remedies.get(code, ""), retry_after_s=_retry_delay(bytes(details))
    )


def _said(message: str) -> str:
    return f": {message}" if message else ""


def _read_answer(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _status_message(answer: bytes) -> str:
    try:
        message = _message(answer, _STATUS_MESSAGE).decode()
    except ValueError:  # no google.rpc.Status: a proxy's page
        return ""
    return message[:_MAX_MESSAGE_LENGTH] if message.isprintable() else ""


def _retry_delay(status: bytes) -> float | None:
    """Return the delay of the RetryInfo in a google.rpc.Status, in seconds."""
    try:
        for field, detail in read_fields(status):
            if field == _STATUS_DETAILS and isinstance(detail, bytes) and _message(detail, _ANY_URL) == _RETRY_INFO:
                delay = dict(read_fields(_message(_message(detail, _ANY_VALUE), _RETRY_DELAY)))
                seconds, nanos = delay.get(_SECONDS, 0), delay.get(_NANOS, 0)
                return seconds + nanos / 1e9 if isinstance(seconds, int) and isinstance(nanos, int) else None
    except ValueError:
        pass
    return None


def _message(message: bytes, number: int) -> bytes:
    found = next((value for field, value in read_fields(message) if field == number), b"")
    return found if isinstance(found, bytes) else b""


def _seconds_until(text: str | None, now_s: float) -> float | None:
    """Return what a Retry-After header says, seconds or a date, as seconds from now."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
