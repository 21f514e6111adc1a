"""A receiving service under retrying exporters that is killed at a random moment, and started again."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACECANARY = Path(sys.executable).with_name("tracecanary")
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_SENDERS = 4
_PATIENCE_S = 30.0
_MODEL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}


@dataclass(slots=True)
class Load:
    """What senders have sent: the ids of spans, and which of them were acknowledged."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)


@contextmanager
def service(lake: Path, port: int, grpc_port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the service; give its process when it has said that it serves."""
    ports = ["--port", str(port), "--grpc-port", str(grpc_port)]
    with subprocess.Popen(
        [TRACECANARY, "serve", "--lake", lake, *ports], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert "tracecanary serves" in process.stdout.readline()
            yield process
        finally:
            process.terminate()


def send_until(stopped: threading.Event, load: Load, *, seed: int, port: int, grpc_port: int) -> None:
    """Send batches over HTTP or gRPC, each again until it is acknowledged or `stopped` is set."""
    rng = random.Random(seed)  # noqa: S311  for load, not for secrets
    use_grpc = seed % 2 == 0
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel, httpx.Client() as client:
        export: Any = channel.unary_unary(_EXPORT)
        while not stopped.is_set():
            ids, body = _batch(rng)
            load.sent |= ids
            while not stopped.is_set():
                try:
                    if use_grpc:
                        export(body, timeout=5)
                    else:
                        answer = client.post(
                            f"http://127.0.0.1:{port}/v1/traces",
                            content=body,
                            headers={"content-type": "application/x-protobuf"},
                        )
                        answer.raise_for_status()
                except (grpc.RpcError, httpx.HTTPError):
                    stopped.wait(0.02)
                    continue
                load.acknowledged |= ids
                break


def load_and_kill(lake: Path, ports: tuple[int, int], *, seed: int) -> tuple[Load, float]:
    """Kill the service under load, start it again; return what was sent, and the seconds until it served again."""
    port, grpc_port = ports
    load, stopped = Load(), threading.Event()
    senders = [
        threading.Thread(
            target=send_until,
            args=(stopped, load),
            kwargs={"seed": seed * _SENDERS + number, "port": port, "grpc_port": grpc_port},
        )
        for number in range(_SENDERS)
    ]
    with service(lake, port, grpc_port) as process:
        for sender in senders:
            sender.start()
        time.sleep(random.Random(seed).uniform(0.2, 3.0))  # noqa: S311
        process.kill()
        process.wait()
    begun_s = time.monotonic()
    with service(lake, port, grpc_port):
        started_s = time.monotonic() - begun_s
        known = len(load.acknowledged)
        deadline = time.monotonic() + _PATIENCE_S
        while len(load.acknowledged) == known and time.monotonic() < deadline:
            time.sleep(0.01)
        stopped.set()
        for sender in senders:
            sender.join()
        while any((lake / "journal" / "spans").glob("*.arrows")) and time.monotonic() < deadline:
            time.sleep(0.05)
    return load, started_s


def _batch(rng: random.Random) -> tuple[set[str], bytes]:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    ids = set()
    for _ in range(rng.randrange(1, 80)):
        trace_id, span_id = rng.getrandbits(127) + 1, rng.getrandbits(63) + 1
        span = spans.add(trace_id=trace_id.to_bytes(16), span_id=span_id.to_bytes(8), name="chat")
        for name, value in _MODEL.items():
            span.attributes.add(key=name).value.string_value = value
        ids.add(f"{trace_id:032x}")
    return ids, request.SerializeToString()
