"""Requests of OTLP as agents send them, and clients that send them over several connections.

A trace is one agent, four model calls and three tool calls, each with 25 attributes and two events: about 1,090 bytes a
span on the wire. One trace in ten asks the candidate, one in four is judged by an evaluation event, one in fifty has a
failed model call and one in twenty-five a failed tool call, each with its exception.
"""

from __future__ import annotations

import gzip
import http.client
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

SPANS_PER_TRACE = 8
SPANS_PER_REQUEST = 512  # as OpenTelemetry's batch processor sends
TRACES_PER_REQUEST = SPANS_PER_REQUEST // SPANS_PER_TRACE
BASE, CANDIDATE = "gpt-4.1-mini", "ft:gpt-4.1-mini:acme:support:Bq7x"
PATH = "/v1/traces"
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_TIMEOUT_S = 120
_REGIONS = ("eu-central-1", "eu-west-1", "us-east-1", "us-west-2")
_TOOLS = ("search_orders", "get_order", "refund_order", "get_user", "update_address", "search_docs", "escalate")

Send = Callable[[bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Encoded requests, and what is in them."""

    bodies: list[bytes]
    spans: int
    evaluations: int


@dataclass(slots=True)
class _Traces:
    """Makes requests one after the other, each of other traces."""

    random: random.Random
    traces: int = 0
    evaluations: int = 0

    def request(self) -> bytes:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        _set(resource.resource.attributes, {"service.name": "support", "service.version": "1.4.2"})
        scope = resource.scope_spans.add()
        scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.openai_v2", "2.4"
        for _ in range(TRACES_PER_REQUEST):
            self._add_trace(scope)
        return request.SerializeToString()

    def _add_trace(self, scope: ScopeSpans) -> None:
        number, self.traces = self.traces, self.traces + 1
        pick = self.random
        trace_id, root_id = pick.randbytes(16), pick.randbytes(8)
        is_candidate = number % 10 == 0
        shared = {
            "gen_ai.agent.name": "support",
            "gen_ai.conversation.id": f"conversation-{number // 3:08x}-{number // 3:04x}",
            "gen_ai.route": f"/chat/{('support', 'sales', 'returns')[number % 3]}",
            "release.cohort": f"tenant-{number % 30}",
            "release.variant": "candidate" if is_candidate else "base",
            "user.id": f"user-{number // 5:08x}",
            "app.deployment.region": pick.choice(_REGIONS),
            "app.customer.tier": "pro" if number % 7 else "free",
        }
        at_ns = time.time_ns()
        failed = {k for k, every in ((7, 50), (2, 25)) if number % every == k}
        for k in range(SPANS_PER_TRACE):
            kind = Span.SPAN_KIND_CLIENT if k % 2 else Span.SPAN_KIND_INTERNAL
            span = scope.spans.add(trace_id=trace_id, span_id=root_id if k == 0 else pick.randbytes(8), kind=kind)
            span.parent_span_id = b"" if k == 0 else root_id
            span.start_time_unix_nano = at_ns + k * 200_000_000
            span.end_time_unix_nano = span.start_time_unix_nano + pick.randrange(50_000_000, 180_000_000)
            model = CANDIDATE if is_candidate else BASE
            if k == 0:
                span.name, attributes = "invoke_agent support", self._agent(model)
            elif k % 2:
                span.name, attributes = f"chat {model}", self._call(model)
            else:
                tool = pick.choice(_TOOLS)
                span.name, attributes = f"execute_tool {tool}", self._tool(tool)
            _set(span.attributes, {**attributes, **shared, "agent.trajectory.step": k})
            self._add_events(span, is_failed=k in failed)
        if number % 4 == 0:
            self._judge(scope.spans[-SPANS_PER_TRACE])

    def _agent(self, model: str) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "gen_ai.agent.id": "agent-support-2",
            "gen_ai.agent.description": "answers customers",
            "gen_ai.output.type": "text",
            "http.request.method": "POST",
            "http.route": "/chat",
            "http.response.status_code": 200,
            "url.scheme": "https",
            "server.address": "support.acme.example",
            "server.port": 443,
            "client.address": f"10.0.{self.random.randrange(8)}.{self.random.randrange(250)}",
            "user_agent.name": "acme-web",
            "app.build": "2026.11.3",
            "app.flags": 17,
        }

    def _call(self, model: str) -> dict[str, Any]:
        pick = self.random
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "gen_ai.response.model": f"{model}-2026-04-14" if model == BASE else model,
            "gen_ai.response.id": f"chatcmpl-{pick.randbytes(14).hex()}",
            "gen_ai.usage.input_tokens": pick.randrange(400, 4_000),
            "gen_ai.usage.output_tokens": pick.randrange(20, 600),
            "gen_ai.usage.cache_read.input_tokens": pick.choice((0, 128, 256)),
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.max_tokens": 1024,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.response.finish_reasons": [pick.choice(("stop", "tool_calls"))],
            "gen_ai.retry.count": 0,
            "gen_ai.fallback.used": False,
            "server.address": "api.openai.com",
            "server.port": 443,
        }

    def _tool(self, tool: str) -> dict[str, Any]:
        pick = self.random
        return {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": f"call_{pick.randbytes(12).hex()}",
            "gen_ai.tool.call.arguments": f'{{"order_id": "{pick.randrange(100_000)}", "limit": 20}}',
            "code.function.name": f"acme.tools.{tool}",
            "code.file.path": "/srv/acme/support/tools/orders.py",
            "code.line.number": 112,
            "thread.id": pick.randrange(16),
            "thread.name": "worker",
            "db.system.name": "postgresql",
            "db.namespace": "orders",
            "db.operation.name": "SELECT",
            "db.response.returned_rows": pick.randrange(20),
            "server.address": "db.acme.example",
            "server.port": 5432,
        }

    def _add_events(self, span: Span, *, is_failed: bool) -> None:
        span.events.add(name="gen_ai.first_chunk", time_unix_nano=span.start_time_unix_nano + 1_000_000)
        _set(span.events[0].attributes, {"index": self.random.randrange(7), "size": 24})
        event = span.events.add(name="gen_ai.last_chunk", time_unix_nano=span.end_time_unix_nano)
        _set(event.attributes, {"index": self.random.randrange(61), "size": 7})
        if is_failed:
            span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "the server took too long"
            event.name = "exception"
            _set(event.attributes, {"exception.type": "TimeoutError", "exception.message": "took too long"})

    def _judge(self, span: Span) -> None:
        event = span.events.add(name="gen_ai.evaluation.result", time_unix_nano=span.end_time_unix_nano)
        score = self.random.random()
        values = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": score}
        _set(event.attributes, {**values, "gen_ai.evaluation.score.label": "pass" if score > 0.2 else "fail"})
        self.evaluations += 1


def make_load(requests: int, *, seed: int = 4) -> Load:
    """Return so many requests, of one seed the same ones each time but for the times of their spans."""
    traces = _Traces(random=random.Random(seed))
    bodies = [traces.request() for _ in range(requests)]
    return Load(bodies=bodies, spans=requests * SPANS_PER_REQUEST, evaluations=traces.evaluations)


class Renewed:
    """A request that can be sent again and again, each time with other ids and as of now."""

    def __init__(self, body: bytes) -> None:
        self._request = ExportTraceServiceRequest.FromString(body)
        self._body = bytearray(body)
        spans = self._request.resource_spans[0].scope_spans[0].spans
        first_ns = min(span.start_time_unix_nano for span in spans)
        self._times = {
            place: time_ns - first_ns
            for span in spans
            for time_ns in (span.start_time_unix_nano, span.end_time_unix_nano)
            for place in self._places(time_ns.to_bytes(8, "little"))
        }
        ids = {one for span in spans for one in (span.trace_id, span.span_id)}
        self._ids = {place: one for one in ids for place in self._places(one)}

    def body(self) -> bytes:
        """Return the next request."""
        mask, now_ns = random.randbytes(16), time.time_ns()
        for place, one in self._ids.items():
            other = int.from_bytes(one) ^ int.from_bytes(mask[: len(one)])
            self._body[place : place + len(one)] = other.to_bytes(len(one))
        for place, after_ns in self._times.items():
            self._body[place : place + 8] = (now_ns + after_ns).to_bytes(8, "little")
        return bytes(self._body)

    def _places(self, part: bytes) -> list[int]:
        places, start = [], self._body.find(part)
        while start >= 0:
            places.append(start)
            start = self._body.find(part, start + 1)
        return places


def zipped(bodies: list[bytes]) -> list[bytes]:
    """Return the requests as exporters compress them."""
    return [gzip.compress(body) for body in bodies]


def as_json(bodies: list[bytes]) -> list[bytes]:
    """Return the requests as OTLP/JSON, which has ids in hex digits."""
    return [_json_body(ExportTraceServiceRequest.FromString(body)) for body in bodies]


def http_sender(address: str, headers: Mapping[str, str]) -> Callable[[], Send]:
    """Return what opens one more connection to `address`, host:port."""
    host, _, port = address.rpartition(":")

    def open_connection() -> Send:
        connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)

        def send(body: bytes) -> None:
            connection.request("POST", PATH, body, {"Content-Type": "application/x-protobuf", **headers})
            response = connection.getresponse()
            answer = response.read()
            if response.status >= 300:
                raise RuntimeError(f"{response.status} {response.reason}: {answer[:200]!r}")

        return send

    return open_connection


def grpc_sender(address: str) -> Callable[[], Send]:
    """Return what opens one more channel to `address`."""

    def open_channel() -> Send:
        # Channels with equal options share one connection.
        channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        export: Any = channel.unary_unary(_EXPORT)
        return lambda body: export(body, timeout=_TIMEOUT_S)

    return open_channel


def send_all(new_sender: Callable[[], Send], bodies: list[bytes], *, connections: int) -> list[float]:
    """Send all requests over so many connections at a time, and return how long each took, in seconds.

    Raises:
        RuntimeError: One was not accepted.
    """
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        waiting.put(body)
    latencies: list[float] = []
    problems: list[Exception] = []

    def work() -> None:
        try:
            send = new_sender()
            while not problems:
                body = waiting.get_nowait()
                start = time.perf_counter()
                send(body)
                latencies.append(time.perf_counter() - start)
        except queue.Empty:
            return
        except Exception as error:  # noqa: BLE001  told by `send_all`
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise RuntimeError(f"a request failed: {problems[0]}") from problems[0]
    return latencies


def _set(attributes: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        added: KeyValue = attributes.add(key=name)
        if isinstance(value, bool):
            added.value.bool_value = value
        elif isinstance(value, int):
            added.value.int_value = value
        elif isinstance(value, float):
            added.value.double_value = value
        elif isinstance(value, str):
            added.value.string_value = value
        else:
            for one in value:
                added.value.array_value.values.add(string_value=one)


def _json_body(request: ExportTraceServiceRequest) -> bytes:
    message = json_format.MessageToDict(request, use_integers_for_enums=True)
    binary = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    spans = [
        span for resource in message["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]
    ]
    for span, source in zip(spans, binary, strict=True):
        span["traceId"], span["spanId"] = source.trace_id.hex(), source.span_id.hex()
        span["parentSpanId"] = source.parent_span_id.hex()
    return json.dumps(message).encode()
