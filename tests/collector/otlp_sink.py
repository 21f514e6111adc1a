"""Servers that take OTLP, by HTTP and by gRPC, read with the official classes, and refuse when a test says so."""

from __future__ import annotations

import gzip
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


def attributes_of(items: Any) -> dict[str, Any]:
    """Return attributes that are plain values."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in items}


@dataclass(slots=True)
class Received:
    """What a sink was sent and took, and what it answers next in place of taking it."""

    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    logs: list[ExportLogsServiceRequest] = field(default_factory=list)
    metadata: list[Mapping[str, str]] = field(default_factory=list)
    refusals: deque[Any] = field(default_factory=deque)  # None to take one
    response: ExportTraceServiceResponse = field(default_factory=ExportTraceServiceResponse)
    tries: int = 0
    is_open: threading.Event = field(default_factory=threading.Event)  # unset: no answer at all

    def __post_init__(self) -> None:
        self.is_open.set()

    def next_refusal(self) -> Any:
        return self.refusals.popleft() if self.refusals else None

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and attributes of each log record."""
        return [
            (record.event_name, attributes_of(record.attributes))
            for request in self.logs
            for resource_logs in request.resource_logs
            for scope_logs in resource_logs.scope_logs
            for record in scope_logs.log_records
        ]

    @property
    def names(self) -> list[str]:
        return sorted(
            span.name
            for request in self.requests
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        )


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class GrpcRefusal:
    code: Any
    details: str = ""
    trailing: tuple[tuple[str, bytes], ...] = ()


@contextmanager
def http_sink(received: Received, port: int = 0) -> Iterator[str]:
    """Serve OTLP/HTTP on loopback; give the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.tries += 1
            received.is_open.wait(30)
            received.metadata.append({name.lower(): value for name, value in self.headers.items()})
            if refusal := received.next_refusal():
                self._answer(refusal.status, refusal.headers, refusal.body)
                return
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                received.requests.append(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/logs":
                received.logs.append(ExportLogsServiceRequest.FromString(body))
            else:
                self._answer(404, {}, b"")
                return
            self._answer(200, {}, received.response.SerializeToString())

        def do_GET(self) -> None:  # what a client asks for that follows a redirect
            received.metadata.append({name.lower(): value for name, value in self.headers.items()})
            self._answer(200, {}, b"")

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name in the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        received.is_open.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def grpc_sink(received: Received, port: int = 0) -> Iterator[str]:
    """Serve OTLP/gRPC on loopback; give the URL."""

    class Servicer(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  the service's name
            received.tries += 1
            received.is_open.wait(30)
            received.metadata.append({str(item.key): str(item.value) for item in context.invocation_metadata()})
            if refusal := received.next_refusal():
                context.set_trailing_metadata(refusal.trailing)
                context.abort(refusal.code, refusal.details)
            received.requests.append(request)
            return received.response

    class LogsServicer(LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  the service's name
            received.logs.append(request)
            return ExportLogsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_LogsServiceServicer_to_server(LogsServicer(), server)  # type: ignore[no-untyped-call]  # generated
    add_TraceServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]  # generated
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"otlp://127.0.0.1:{bound}"
    finally:
        received.is_open.set()
        server.stop(grace=None).wait()
