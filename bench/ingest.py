"""What receiving a span costs the service, by OTLP over HTTP and gRPC, until it is in the lake.

The service runs in a process of its own; a client sends encoded requests over several connections, and every request is
answered only when it is on disk. CPU time is that of the service's process, all threads, until its journal is empty.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import grpc
from capture import RESULTS, SPANS_PER_TRACE, _trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

TRACECANARY = Path(sys.executable).with_name("tracecanary")
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS_PER_REQUEST = 512
CONNECTIONS = 8
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it works")
    options = parser.parse_args()
    requests, rounds = (20, 1) if options.quick else (200, 3)
    bodies = _bodies(requests)
    spans = requests * SPANS_PER_REQUEST
    results: dict[str, list[dict[str, float]]] = {"http": [], "grpc": []}
    for _ in range(rounds):
        for protocol, measured in results.items():
            measured.append(_measure(protocol, bodies, spans))
    print(f"{spans:,} spans of {sum(map(len, bodies)) // spans:,} bytes, {SPANS_PER_REQUEST} a request,")
    print(f"{CONNECTIONS} connections; median of {rounds} rounds\n")
    print(
        f"{'':8}{'CPU µs/span':>14}{'spans/s/core':>14}{'spans/s wall':>14}{'p50 ms':>10}{'p99 ms':>10}{'peak MB':>10}"
    )
    for protocol, measured in results.items():
        median = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
        cpu_us = median["cpu_us"]
        print(
            f"{protocol:8}{cpu_us:>14.2f}{1e6 / cpu_us:>14,.0f}{median['spans_per_s']:>14,.0f}"
            f"{median['p50_ms']:>10.1f}{median['p99_ms']:>10.1f}{median['peak_mb']:>10.0f}"
        )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"ingest-{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(
        json.dumps(
            {"machine": platform.platform(), "python": platform.python_version(), "spans": spans, **results}, indent=1
        )
    )
    print(f"\nwritten to {path}")


def _bodies(requests: int) -> list[bytes]:
    spans: list[ReadableSpan] = []

    class Keeper(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            spans.append(span)

    provider = TracerProvider(resource=Resource.create({"service.name": "bench", "service.version": "1.4.2"}))
    provider.add_span_processor(Keeper())
    assert SPANS_PER_REQUEST % SPANS_PER_TRACE == 0
    bodies = []
    for _ in range(requests):
        _trace(provider.get_tracer("bench", "1.0"), SPANS_PER_REQUEST)
        bodies.append(encode_spans(spans).SerializeToString())
        spans.clear()
    return bodies


def _measure(protocol: str, bodies: list[bytes], spans: int) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [TRACECANARY, "serve", "--lake", Path(folder) / "lake", "--port", "0"], stdout=subprocess.PIPE, text=True
        ) as service,
    ):
        try:
            assert service.stdout is not None
            line = service.stdout.readline()
            url = line.split(" at ")[1].split(" ")[0]
            grpc_address = line.split("gRPC at ")[1].split(" ")[0].rstrip(".")
            target = url.removeprefix("http://") if protocol == "http" else grpc_address
            send_all = _send_http if protocol == "http" else _send_grpc
            send_all(target, bodies[:4])  # imports and caches
            _wait_until_sealed(url)
            cpu_s, start = _cpu_s(service.pid), time.perf_counter()
            latencies = send_all(target, bodies)
            wall_s = time.perf_counter() - start
            _wait_until_sealed(url)
            cpu_s = _cpu_s(service.pid) - cpu_s
            return {
                "cpu_us": cpu_s / spans * 1e6,
                "spans_per_s": spans / wall_s,
                "p50_ms": statistics.median(latencies) * 1e3,
                "p99_ms": statistics.quantiles(latencies, n=100)[-1] * 1e3,
                "peak_mb": _peak_mb(service.pid),
            }
        finally:
            service.terminate()


def _send_http(target: str, bodies: list[bytes]) -> list[float]:
    host, _, port = target.partition(":")

    def sender() -> Any:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)

        def send(body: bytes) -> None:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()

        return send

    return _send_all(sender, bodies)


def _send_grpc(target: str, bodies: list[bytes]) -> list[float]:
    with grpc.insecure_channel(target) as channel:
        export: Any = channel.unary_unary(EXPORT)
        return _send_all(lambda: lambda body: export(body, timeout=60), bodies)


def _send_all(new_sender: Any, bodies: list[bytes]) -> list[float]:
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        waiting.put(body)
    latencies: list[float] = []

    def work() -> None:
        send = new_sender()
        while True:
            try:
                body = waiting.get_nowait()
            except queue.Empty:
                return
            start = time.perf_counter()
            send(body)
            latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(latencies) == len(bodies), "a request failed"
    return latencies


def _wait_until_sealed(url: str) -> None:
    while True:
        with urllib.request.urlopen(f"{url}/metrics") as response:
            if b"\ntracecanary_journal_bytes 0.0\n" in response.read():
                return
        time.sleep(0.25)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
