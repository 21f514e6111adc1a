"""What `/compare` costs: asked for the first time and again, in process and over HTTP; how near its quantiles are."""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb

from tracecanary.analytics.comparison import compare
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store

ARMS = ("base", "candidate")
CLIENTS, REQUESTS = 32, 3_200
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_ROUNDS = 7


def measure_comparing(lake: Path, first_ns: int) -> list[dict[str, Any]]:
    """Measure every way to ask; `first_ns` is when the lake begins, ns since the epoch."""
    store = Store(lake)
    rows = [_timed("compare, first of a new process", lambda: compare(store, _question()))]
    # A window that begins before all traces is another question about the same ones.
    numbers = iter(range(10_000))
    rows.append(_median("compare, cold", lambda: compare(store, _question(_LONG_AGO + timedelta(next(numbers))))))
    begin = datetime.fromtimestamp(first_ns // 10**9, UTC)
    days = [begin + timedelta(days=day) for day in range(1, _ROUNDS + 1)]
    places = iter(days)
    rows.append(_median("compare, cold, from a day on", lambda: compare(store, _question(next(places)))))
    cut = iter(days)
    rows.append(
        _median("compare, cold, from within a day", lambda: compare(store, _question(next(cut) + timedelta(hours=7.5))))
    )
    rows.append(_median("compare, unchanged", lambda: compare(store, _question())))
    rows += _over_http(lake)
    rows.append(_quantile_error(store))
    return rows


def _question(from_time: datetime | None = None) -> Question:
    return Question(selection=Selection(arms=ARMS, from_time=from_time))


def _quantile_error(store: Store) -> dict[str, Any]:
    """Compare the p99 that the answer shows with that of all values, arm by arm."""
    row = next(row for row in compare(store, _question()).answer.overall.metrics if row.metric == "latency_p99")
    facts = next(iter((Path(str(store.lake)) / "derived").glob("*"))) / "facts-*.parquet"
    exact = duckdb.sql(
        "SELECT models[1], quantile_cont(duration_ns / 1e9, 0.99) FROM read_parquet($facts)"
        " WHERE models IS NOT NULL GROUP BY models[1]",
        params={"facts": str(facts)},
    ).fetchall()
    shown = {"base": row.base.value, "candidate": row.candidate.value}
    errors = [None if (value := shown[arm]) is None else abs(value / real - 1) for arm, real in exact]
    known = [error for error in errors if error is not None]
    return {
        "what": "p99 of the histogram",
        "wall_s": None,
        "cpu_s": None,
        "largest_error": round(max(known), 5) if len(known) == len(ARMS) else None,
    }


def _over_http(lake: Path) -> list[dict[str, Any]]:
    with _service(lake) as url:
        address = urlsplit(url)
        path = f"/compare?base={ARMS[0]}&candidate={ARMS[1]}"
        asyncio.run(_ask(address.hostname, address.port, path, clients=1, requests=3))
        one = asyncio.run(_ask(address.hostname, address.port, path, clients=1, requests=300))
        began = time.perf_counter()
        many = asyncio.run(_ask(address.hostname, address.port, path, clients=CLIENTS, requests=REQUESTS))
        seconds = time.perf_counter() - began
        nothing = asyncio.run(_ask(address.hostname, address.port, "/healthz", clients=CLIENTS, requests=REQUESTS))
    return [
        _latencies("HTTP, unchanged, 1 client", one),
        {**_latencies(f"HTTP, unchanged, {CLIENTS} clients", many), "requests_a_second": round(len(many) / seconds)},
        _latencies(f"HTTP, /healthz, {CLIENTS} clients", nothing),
    ]


@contextmanager
def _service(lake: Path) -> Iterator[str]:
    command = [
        Path(sys.executable).with_name("tracecanary"),
        "serve",
        "--lake",
        lake,
        "--port",
        "0",
        "--grpc-port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            for line in process.stdout or ():
                found = re.search(r"http://[\d.]+:\d+", line)
                if found:
                    yield found.group()
                    break
        finally:
            process.terminate()


async def _ask(host: str | None, port: int | None, path: str, *, clients: int, requests: int) -> list[float]:
    """Ask again and again over connections that stay, with as many clients at once; return seconds of each answer."""
    latencies: list[float] = []
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(requests // clients):
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(length.group(1)) if length else 0)
            latencies.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def _latencies(name: str, latencies: list[float]) -> dict[str, Any]:
    ordered = sorted(latencies)
    return {
        "what": name,
        "wall_s": round(statistics.median(ordered), 4),
        "cpu_s": None,
        "p99_s": round(ordered[int(0.99 * len(ordered))], 4),
    }


def _timed(name: str, ask: Callable[[], object]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    ask()
    return {
        "what": name,
        "wall_s": round(time.perf_counter() - wall, 4),
        "cpu_s": round(time.process_time() - cpu, 4),
    }


def _median(name: str, ask: Callable[[], object]) -> dict[str, Any]:
    rows = [_timed(name, ask) for _ in range(_ROUNDS)]
    return {
        "what": name,
        "wall_s": statistics.median(row["wall_s"] for row in rows),
        "cpu_s": statistics.median(row["cpu_s"] for row in rows),
    }
