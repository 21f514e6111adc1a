"""What the service does when far more is sent at once than it can store: who is refused, and how much memory it takes.

Every sender has a connection of its own and sends requests of a megabyte one after the other, all at the same time.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from otlp_load import Send, grpc_sender, http_sender, make_load
from processes import cpu_s, load, peak_mb
from serving import Service

_HEAVY_REQUESTS = 2  # of 512 spans, as one


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--senders", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it works")
    options = parser.parse_args()
    senders, seconds = (50, 2.0) if options.quick else (options.senders, options.seconds)
    # Top-level fields of one request after those of another are one request.
    bodies = make_load(_HEAVY_REQUESTS * 8).bodies
    heavy = [b"".join(bodies[start : start + _HEAVY_REQUESTS]) for start in range(0, len(bodies), _HEAVY_REQUESTS)]
    print(f"{senders} senders of {len(heavy[0]) / 2**20:.1f} MiB a request for {seconds:.0f} s; load {load()}\n")
    for name in ("http", "grpc"):
        with tempfile.TemporaryDirectory() as folder, Service.started(Path(folder) / "lake") as service:
            sender = http_sender(service.http, {}) if name == "http" else grpc_sender(service.grpc)
            start, cpu = time.monotonic(), cpu_s(service.pid)
            answers = _hammer(sender, heavy, senders=senders, seconds=seconds)
            wall_s = time.monotonic() - start
            service.wait_until_sealed()
            told = ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items()))
            used = (cpu_s(service.pid) - cpu) / wall_s
            print(f"{name:6} peak {peak_mb(service.pid):,.0f} MB, {used:.2f} cores; answers: {told}")


def _hammer(new_sender: Callable[[], Send], bodies: list[bytes], *, senders: int, seconds: float) -> Counter[str]:
    answers: Counter[str] = Counter()
    until_s = time.monotonic() + seconds

    def work(number: int) -> None:
        send: Send = new_sender()
        while time.monotonic() < until_s:
            try:
                send(bodies[number % len(bodies)])
                answers["accepted"] += 1
            except Exception as error:  # noqa: BLE001  counted by what it says
                code = getattr(error, "code", None)
                answers[str(code()) if callable(code) else str(error)[:25]] += 1
                time.sleep(0.2)
                send = new_sender()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


if __name__ == "__main__":
    main()
