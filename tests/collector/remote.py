"""Applications that write to lakes behind a network, and what arrived there."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from tracecanary.collector import CanarySpanProcessor
from tracecanary.schema import LakeTable, lake_storage, landing_files, parse_file_lake

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
PATIENCE_S = 30.0
# Ends spans named by its arguments, has them journaled, says so, and waits to be killed.
KILLED_APPLICATION = """
import sys, threading
from tests.collector.remote import traced
processor, tracer = traced(sys.argv[1], flush_interval_s=0.05, seal_interval_s=0.1)
for name in sys.argv[2:]:
    tracer.start_span(name).end()
processor.force_flush()
print("journaled", flush=True)
threading.Event().wait()
"""


def traced(lake: str, **settings: Any) -> tuple[CanarySpanProcessor, Tracer]:
    processor = CanarySpanProcessor(lake, **{"flush_interval_s": 3600, **settings})
    provider = TracerProvider(resource=Resource({"service.name": "shop", "service.version": "1.4.2"}))
    provider.add_span_processor(processor)
    return processor, provider.get_tracer("tests", "0.1")


def end_spans(tracer: Tracer, *names: str) -> None:
    for name in names:
        tracer.start_span(name, attributes=CALL).end()


def stored(lake: str) -> list[dict[str, Any]]:
    """Return all rows of spans in the lake."""
    storage = lake_storage(parse_file_lake(lake))
    files = landing_files(storage, LakeTable.SPANS)
    return [row for file in files for row in pq.read_table(io.BytesIO(storage.read(file.name))).to_pylist()]


def stored_names(lake: str) -> list[str]:
    return sorted(row["name"] for row in stored(lake))


def spooled_files(spool: Path) -> list[Path]:
    return sorted(path for path in spool.rglob("*") if path.is_file())


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline, waiting = time.monotonic() + PATIENCE_S, threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so in time"
        waiting.wait(0.02)


def kill_application(lake: str, *names: str) -> None:
    """Run an application that ends spans called `names`, and kill it when they are journaled."""
    command = [sys.executable, "-c", KILLED_APPLICATION, lake, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as application:
        assert application.stdout is not None
        assert application.stdout.readline() == b"journaled\n"
        application.kill()
        assert application.wait() == -signal.SIGKILL
