"""How soon `/compare` shows what the service has acknowledged, while 10,000 spans a second come in over HTTP.

Requests are sent at an even pace; every second somebody asks, and counts the traces that the answer stands on. A
request is shown by the first answer that counts its traces. Its age then is the time since it was acknowledged: up to a
second of that is the wait for the next question. CPU and memory are those of the service's process, compaction and all.
"""

from __future__ import annotations

import argparse
import json
import platform
import queue
import statistics
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from capture import RESULTS
from otlp_load import (
    BASE,
    CANDIDATE,
    SPANS_PER_REQUEST,
    TRACES_PER_REQUEST,
    Renewed,
    http_sender,
    make_load,
)
from processes import cpu_s, load, peak_mb
from serving import Service

TARGET_S = 5.0
CONNECTIONS = 4
_EVERY_S = 1.0
_PATIENCE_S = 60.0  # for what is not shown at the end
_TEMPLATES = 16


@dataclass(slots=True)
class _Run:
    """What was acknowledged when, and how many traces were shown when."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    acknowledged: list[float] = field(default_factory=list)
    shown: list[tuple[float, int]] = field(default_factory=list)
    answers_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def main() -> None:
    """Measure, print and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it works")
    parser.add_argument("--spans-per-s", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--path", help="what is asked; default: /compare of both models")
    options = parser.parse_args()
    seconds = 8.0 if options.quick else options.seconds
    path = options.path or "/compare?" + urllib.parse.urlencode({"base": BASE, "candidate": CANDIDATE})
    busy, figures = load(), _measured(options.spans_per_s, seconds, path)
    print(f"{options.spans_per_s:,} spans a second for {seconds:.0f} s, asking every second: {path}")
    print(f"load of the machine at the start {busy}, at the end {load()}\n")
    for name, value in figures.items():
        print(f"{name:28}{value:>12,.2f}")
    print(f"\nto reach: 95 of 100 ages at most {TARGET_S:.0f} s")
    RESULTS.mkdir(exist_ok=True)
    written = RESULTS / f"freshness-{time.strftime('%Y%m%dT%H%M%S')}.json"
    contents = {"machine": platform.platform(), "load": busy, "path": path, "seconds": seconds, **figures}
    written.write_text(json.dumps(contents, indent=1))
    print(f"written to {written}")


def _measured(spans_per_s: int, seconds: float, path: str) -> dict[str, float]:
    run, templates = _Run(), [Renewed(body) for body in make_load(_TEMPLATES).bodies]
    with tempfile.TemporaryDirectory() as folder, Service.started(Path(folder) / "lake") as service:
        http_sender(service.http, {})()(templates[0].body())  # an arm that nobody has ever seen is no answer
        run.acknowledged.append(time.monotonic())
        service.wait_until_sealed()
        traces = _traces(service.get(path))
        assert traces == TRACES_PER_REQUEST, f"{traces} traces are shown of {TRACES_PER_REQUEST}"
        run.shown.append((time.monotonic(), traces))
        cpu, start = cpu_s(service.pid), time.monotonic()
        has_ended = threading.Event()
        asking = threading.Thread(target=_ask, args=(service, path, run, has_ended))
        asking.start()
        _send(service, templates, run, rate=spans_per_s / SPANS_PER_REQUEST, seconds=seconds)
        sent_s = time.monotonic() - start
        cpu = cpu_s(service.pid) - cpu
        has_ended.set()
        asking.join()
        if run.problems:
            raise RuntimeError(run.problems[0])
        ages = _ages(run)
        return {
            "spans a second, sent": (len(run.acknowledged) - 1) * SPANS_PER_REQUEST / sent_s,
            "age p50, s": statistics.median(ages),
            "age p95, s": statistics.quantiles(ages, n=100)[94],
            "age p99, s": statistics.quantiles(ages, n=100)[98],
            "age, most, s": max(ages),
            "requests not shown": float(len(run.acknowledged) - run.shown[-1][1] // TRACES_PER_REQUEST),
            "answer p50, s": statistics.median(run.answers_s),
            "answer, slowest, s": max(run.answers_s),
            "CPU, cores": cpu / sent_s,
            "peak MB": peak_mb(service.pid),
        }


def _send(service: Service, templates: list[Renewed], run: _Run, *, rate: float, seconds: float) -> None:
    """Send requests at an even pace."""
    due: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            send = http_sender(service.http, {})()
            while (body := due.get()) is not None:
                send(body)
                with run.lock:
                    run.acknowledged.append(time.monotonic())
        except Exception as error:  # noqa: BLE001  told when the threads are done
            run.problems.append(f"a request failed: {error}")

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    for number in range(int(rate * seconds)):
        body = templates[number % len(templates)].body()
        time.sleep(max(start + number / rate - time.monotonic(), 0))
        due.put(body)
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()


def _ask(service: Service, path: str, run: _Run, has_ended: threading.Event) -> None:
    """Ask every second, and at the end until everything is shown."""
    deadline_s = float("inf")
    while True:
        if has_ended.is_set():
            deadline_s = min(deadline_s, time.monotonic() + _PATIENCE_S)
        start = time.monotonic()
        try:
            traces = _traces(service.get(path))
        except Exception as error:  # noqa: BLE001  told when the threads are done
            run.problems.append(f"a question failed: {error}")
            return
        now = time.monotonic()
        run.shown.append((now, traces))
        run.answers_s.append(now - start)
        is_all = has_ended.is_set() and traces >= len(run.acknowledged) * TRACES_PER_REQUEST
        if is_all or now > deadline_s:
            return
        time.sleep(max(start + _EVERY_S - now, 0))


def _ages(run: _Run) -> list[float]:
    """Return, of each request that was shown, how long that took from its acknowledgement."""
    ages, place = [], 0
    for number, at in enumerate(run.acknowledged[1:], start=2):
        while place < len(run.shown) and (
            run.shown[place][1] < number * TRACES_PER_REQUEST or run.shown[place][0] < at
        ):
            place += 1
        if place == len(run.shown):
            break
        ages.append(run.shown[place][0] - at)
    return ages


def _traces(answer: bytes) -> int:
    counted = json.loads(answer)["overall"]["traces"]
    return int(counted["base"] + counted["candidate"])


if __name__ == "__main__":
    main()
