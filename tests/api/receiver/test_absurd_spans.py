"""Spans that claim the impossible are one sender's mistake, and must not cost anybody else an answer."""

from __future__ import annotations

import itertools
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracecanary.api.service import running_receiver

INT64 = 2**63 - 1
HOUR_NS = 3_600 * 10**9
TRACE_ID = 0xAF7651916CD43DD8448EB211C80319C
# Start and end, ns since the epoch; year 0001 and the like have no number in OTLP.
TIMES = {
    "no times": (0, 0),
    "no start": (0, 10**18),
    "no end": (10**18, 0),
    "ends before it starts": (10**18, 10**18 - 5),
    "from 1970 to 2262": (1, INT64),
    "in 2262": (INT64, INT64),
    "in 2219": (24 * 365 * 250 * HOUR_NS, 24 * 365 * 250 * HOUR_NS + 5),
}
QUESTIONS = (
    "/models",
    "/cohorts",
    "/traces",
    f"/traces/{TRACE_ID:032x}",
    "/compare?base=a&candidate=b",
    "/compare/rows?base=a&candidate=b",
    "/series?metric=latency_p50&arm=a",
    "/trajectory?base=a&candidate=b",
    "/report?base=a&candidate=b",
    "/readyz",
)


def absurd_request() -> bytes:
    """Return calls of two models with all times, and one trace that has them all, with numbers as large as can be.

    Added up, any two of these numbers leave 64 bits.
    """
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, (model, (start, end)) in enumerate(itertools.product(("a", "b", "a"), TIMES.values()), start=1):
        trace_id = TRACE_ID if number > 2 * len(TIMES) else number
        span = spans.add(trace_id=trace_id.to_bytes(16), span_id=number.to_bytes(8), name="chat")
        span.start_time_unix_nano, span.end_time_unix_nano = start, end
        for name in ("gen_ai.operation.name", "gen_ai.request.model", "gen_ai.evaluation.name"):
            span.attributes.add(key=name).value.string_value = "chat" if name.startswith("gen_ai.op") else model
        for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.retry.count"):
            span.attributes.add(key=name).value.int_value = INT64
        for name in ("operation.cost", "gen_ai.evaluation.score.value", "gen_ai.server.time_to_first_token"):
            span.attributes.add(key=name).value.double_value = 9.2e9 if name == "operation.cost" else 1e308
    return request.SerializeToString()


def test_answers_survive_absurd_times_and_numbers(tmp_path: Path) -> None:
    with running_receiver(tmp_path / "lake") as service:
        headers = {"content-type": "application/x-protobuf"}
        stored = httpx.post(f"{service.url}/v1/traces", content=absurd_request(), headers=headers)
        answers = {path: httpx.get(f"{service.url}{path}", timeout=60).status_code for path in QUESTIONS}
        # Delivered once more, all of it is derived again, from where it was found before.
        httpx.post(f"{service.url}/v1/traces", content=absurd_request(), headers=headers).raise_for_status()
        models = httpx.get(f"{service.url}/models").json()
        trace = httpx.get(f"{service.url}/traces/{TRACE_ID:032x}").json()

    assert (stored.status_code, stored.content) == (200, b"")
    assert answers == dict.fromkeys(QUESTIONS, 200)
    assert {row["model"]: row["llm_calls"] for row in models} == {"a": 2 * len(TIMES), "b": len(TIMES)}
    assert {(row["input_tokens"], row["retries"], row["cost_usd"]) for row in models} == {(None, None, None)}

    assert sorted(span["duration_s"] for span in trace["spans"]) == [*[0.0] * 6, 5e-9]
