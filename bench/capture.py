"""What capturing a span costs: tracecanary's processor beside BatchSpanProcessor with OTLP over HTTP.

Every measurement runs in a process of its own, the peer's sink in another one, so that nobody pays for anybody else.
CPU time is that of the whole process, worker threads included, until everything is flushed; wall time drifts on shared
machines, so compare ratios of one run.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, Tracer

RESULTS = Path(__file__).parent / "results"
SPANS_PER_TRACE = 8
DESIGNS = ("bare", "tracecanary", "batch_otlp")
# Several seconds of a busy application. In the first of them both sides touch memory and code for the first time.
STEADY_SPANS = 100_000
# 25 attributes and 2 events: about 1,090 bytes on the OTLP wire.
ATTRIBUTES: dict[str, str | int | float | bool] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1-mini",
    "gen_ai.response.model": "gpt-4.1-mini-2026-04-14",
    "gen_ai.usage.output_tokens": 181,
    "gen_ai.usage.cache_read.input_tokens": 512,
    "gen_ai.request.temperature": 0.2,
    "gen_ai.request.max_tokens": 1024,
    "gen_ai.request.top_p": 1.0,
    "gen_ai.response.finish_reasons": "stop",
    "gen_ai.agent.name": "support",
    "gen_ai.route": "/chat/support",
    "release.cohort": "tenant-eu-3",
    "release.variant": "canary",
    "agent.trajectory.step": 3,
    "gen_ai.retry.count": 0,
    "gen_ai.fallback.used": False,
    "user.id": "user-4711",
    "server.address": "api.openai.com",
    "server.port": 443,
    "http.response.status_code": 200,
    "app.region": "eu-central-1",
    "app.tier": "pro",
}


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it works")
    parser.add_argument("--child", nargs=3, metavar=("DESIGN", "SPANS", "MODE"), help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", default="", help=argparse.SUPPRESS)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        _serve_sink()
    elif options.child:
        design, spans, mode = options.child
        print(json.dumps(_measure(design, int(spans), mode, options.endpoint)))
    else:
        _run(is_quick=options.quick)


def _run(*, is_quick: bool) -> None:
    spans, burst, rounds = (2_000, 20_000, 1) if is_quick else (STEADY_SPANS, 200_000, 3)
    steady: dict[str, list[dict[str, float]]] = {design: [] for design in DESIGNS}
    bursts = {}
    with subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True) as sink:
        try:
            assert sink.stdout is not None
            endpoint = sink.stdout.readline().strip()
            for _ in range(rounds):
                for design in DESIGNS:
                    steady[design].append(_in_child(design, spans, "steady", endpoint))
            for design in DESIGNS[1:]:
                bursts[design] = _in_child(design, burst, "burst", endpoint)
        finally:
            sink.terminate()
    rows = _rows(steady, bursts)
    _print_table(rows, spans=spans, burst=burst, rounds=rounds)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"capture-{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(
        json.dumps(
            {
                "machine": platform.platform(),
                "python": platform.python_version(),
                "spans": spans,
                "burst": burst,
                "rounds": rounds,
                "rows": rows,
                "steady": steady,
                "bursts": bursts,
            },
            indent=1,
        )
    )
    print(f"\nwritten to {path}")


def _rows(
    steady: dict[str, list[dict[str, float]]], bursts: dict[str, dict[str, float]]
) -> list[dict[str, str | float | None]]:
    def median(design: str, name: str) -> float:
        return statistics.median(one[name] for one in steady[design])

    def row(name: str, ours: float, peer: float | None) -> dict[str, str | float | None]:
        ratio = round(peer / ours, 2) if peer is not None and ours > 0 else None
        return {"what": name, "ours": round(ours, 2), "peer": None if peer is None else round(peer, 2), "ratio": ratio}

    bare = median("bare", "cpu_us")
    ours, peer = (median(design, "cpu_us") for design in DESIGNS[1:])
    return [
        row("no processor, CPU µs a span", bare, bare),
        row("total CPU µs a span", ours, peer),
        row("added CPU µs a span", ours - bare, peer - bare),
        row(
            "added on the app's thread, CPU µs a span",
            *(median(design, "app_us") - median("bare", "app_us") for design in DESIGNS[1:]),
        ),
        row("on_end p50, µs", *(median(design, "on_end_p50_us") for design in DESIGNS[1:])),
        row("lost of a burst, %", *(bursts[design]["lost_percent"] for design in DESIGNS[1:])),
        row("bytes a span on disk", median("tracecanary", "bytes_per_span"), None),
    ]


def _print_table(rows: list[dict[str, str | float | None]], *, spans: int, burst: int, rounds: int) -> None:
    print(f"{spans:,} spans, 25 attributes and 2 events each, median of {rounds} rounds; burst of {burst:,} spans\n")
    print(f"{'':42}{'tracecanary':>12}{'batch+OTLP':>12}{'peer/ours':>11}")
    for row in rows:
        print(f"{row['what']:42}" + "".join(f"{_cell(row[name]):>12}" for name in ("ours", "peer", "ratio")))


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _in_child(design: str, spans: int, mode: str, endpoint: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", design, str(spans), mode, "--endpoint", endpoint]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def _measure(design: str, spans: int, mode: str, endpoint: str) -> dict[str, float]:
    logging.disable(logging.CRITICAL)  # the peer warns of each lost span; that shall not cost it
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        provider = TracerProvider(resource=Resource.create({"service.name": "bench", "service.version": "1.4.2"}))
        # In a steady load nothing may be lost, or the loser would look cheap.
        processor, lost = _processor(design, lake, endpoint, queue=spans + 1 if mode == "steady" else None)
        if processor is not None:
            provider.add_span_processor(processor)
        tracer = provider.get_tracer("bench", "1.0")
        _trace(tracer, 64)  # imports, connections and caches
        provider.force_flush()
        lost_before = lost()
        stored_before = _size_bytes(lake)
        cpu, thread = time.process_time(), time.thread_time()
        _trace(tracer, spans)
        app_s = time.thread_time() - thread
        provider.force_flush(60_000)
        cpu_s = time.process_time() - cpu
        result = {
            "cpu_us": cpu_s / spans * 1e6,
            "app_us": app_s / spans * 1e6,
            "lost_percent": (lost() - lost_before) / spans * 100,
            "bytes_per_span": (_size_bytes(lake) - stored_before) / spans,
            "on_end_p50_us": _on_end_p50_us(processor, provider) if processor is not None and mode == "steady" else 0.0,
        }
        provider.shutdown()
        return result


def _processor(
    design: str, lake: Path, endpoint: str, *, queue: int | None
) -> tuple[SpanProcessor | None, Callable[[], int]]:
    if design == "bare":
        return None, lambda: 0
    if design == "tracecanary":
        from tracecanary.collector import CanarySpanProcessor

        ours = CanarySpanProcessor(lake) if queue is None else CanarySpanProcessor(lake, max_pending_spans=queue)
        return ours, lambda: sum(ours.dropped.values())
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exported = [0]
    ended = [0]

    class CountingExporter(OTLPSpanExporter):
        def export(self, spans: Any) -> Any:
            exported[0] += len(spans)
            return super().export(spans)

    class CountingProcessor(BatchSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended[0] += 1
            super().on_end(span)

    exporter = CountingExporter(endpoint=endpoint)
    peer = CountingProcessor(exporter) if queue is None else CountingProcessor(exporter, max_queue_size=queue)
    return peer, lambda: ended[0] - exported[0]


def _trace(tracer: Tracer, spans: int) -> None:
    for number in range(0, spans, SPANS_PER_TRACE):
        with tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER) as root:
            _fill(root, number)
            for child in range(number + 1, min(number + SPANS_PER_TRACE, spans)):
                with tracer.start_as_current_span("chat gpt-4.1-mini", kind=SpanKind.CLIENT) as span:
                    _fill(span, child)


def _fill(span: Any, number: int) -> None:
    span.set_attributes(ATTRIBUTES)
    span.set_attribute("gen_ai.usage.input_tokens", 400 + number * 7919 % 1000)
    span.set_attribute("gen_ai.conversation.id", f"conversation-{number // 24}")
    span.add_event("gen_ai.first_chunk", {"index": number % 7, "size": 24})
    span.add_event("gen_ai.last_chunk", {"index": number % 61, "size": 7})


def _on_end_p50_us(processor: SpanProcessor, provider: TracerProvider) -> float:
    spans: list[ReadableSpan] = []

    class Keeper(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            spans.append(span)

    source = TracerProvider(resource=provider.resource)
    source.add_span_processor(Keeper())
    _trace(source.get_tracer("bench", "1.0"), 2_000)
    times = []
    for span in spans:
        start = time.perf_counter_ns()
        processor.on_end(span)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def _size_bytes(lake: Path) -> int:
    return sum(path.stat().st_size for path in lake.rglob("*.parquet"))


def _serve_sink() -> None:
    class Sink(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Sink) as server:
        print(f"http://127.0.0.1:{server.server_port}/v1/traces", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
