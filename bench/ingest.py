"""What receiving a span costs the service, by OTLP over HTTP and gRPC, until it is in the lake.

The service runs in a process of its own; a client sends encoded requests over several connections, and every request is
answered only when it is on disk. CPU time is that of the service's process, all threads, user and system, until its
journal is empty; what it takes to answer questions comes on top, and is shown apart. With `--peers`, Phoenix and MLflow
are given the same requests, fewer of them, in the same run: see `peers.py`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capture import RESULTS
from otlp_load import (
    SPANS_PER_REQUEST,
    Load,
    Send,
    as_json,
    grpc_sender,
    http_sender,
    make_load,
    send_all,
    zipped,
)
from peers import PEERS, PeerFigures, measure_peer
from processes import cpu_s, load, peak_mb
from serving import Service, distinct_rows

from tracecanary.schema import LakeTable

CONNECTIONS = 8
TARGET_SPANS_PER_S = 80_000
_WARM_UP_REQUESTS, _WARM_UP_SEED = 8, 5  # imports, connections and caches


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of sending: what is done to the requests, and who sends them."""

    name: str
    encode: Callable[[list[bytes]], list[bytes]]
    sender: Callable[[Service], Callable[[], Send]]


WAYS = (
    Way(name="http", encode=list, sender=lambda service: http_sender(service.http, {})),
    Way(
        name="http gzip", encode=zipped, sender=lambda service: http_sender(service.http, {"Content-Encoding": "gzip"})
    ),
    Way(name="grpc", encode=list, sender=lambda service: grpc_sender(service.grpc)),
    Way(
        name="http json",
        encode=as_json,
        sender=lambda service: http_sender(service.http, {"Content-Type": "application/json"}),
    ),
)


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it works")
    parser.add_argument("--peers", action="store_true", help="measure Phoenix and MLflow, too: installs them once")
    parser.add_argument("--ways", nargs="*", default=[way.name for way in WAYS], help="only some ways of sending")
    options = parser.parse_args()
    requests, rounds = (20, 1) if options.quick else (200, 3)
    made = make_load(requests)
    ways = [way for way in WAYS if way.name in options.ways]
    results: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
    busy = load()
    for _ in range(rounds):
        for way in ways:
            # JSON costs ten times as much: fewer requests tell as much.
            part = made if way.name != "http json" else make_load(max(requests // 5, 8))
            results[way.name].append(_measure(way, part))
    size = sum(map(len, made.bodies)) / made.spans
    print(
        f"{made.spans:,} spans of {size:,.0f} bytes, {SPANS_PER_REQUEST} a request, {made.evaluations:,} evaluations,"
    )
    print(f"{CONNECTIONS} connections; median of {rounds} rounds; load of the machine at the start {busy}\n")
    medians = {name: _median(measured) for name, measured in results.items()}
    _print_ours(medians)
    peers = [measure_peer(peer, made.bodies) for peer in PEERS] if options.peers else []
    if peers and "http" in medians:
        _print_peers(medians["http"], peers)
    _write(busy=busy, spans=made.spans, ours=results, peers=peers)


def _measure(way: Way, made: Load) -> dict[str, float]:
    bodies = way.encode(made.bodies)
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        with Service.started(lake) as service:
            new_sender = way.sender(service)
            warm_up = way.encode(make_load(_WARM_UP_REQUESTS, seed=_WARM_UP_SEED).bodies)
            send_all(new_sender, warm_up, connections=CONNECTIONS)
            service.wait_until_sealed()
            before = distinct_rows(lake, LakeTable.SPANS), distinct_rows(lake, LakeTable.EVALUATIONS)
            cpu, start = cpu_s(service.pid), time.perf_counter()
            latencies = send_all(new_sender, bodies, connections=CONNECTIONS)
            wall_s = time.perf_counter() - start
            service.wait_until_sealed()
            sealed_s = cpu_s(service.pid) - cpu
            peak = peak_mb(service.pid)
            service.get("/models")
            asked_s = cpu_s(service.pid) - cpu
            stored = distinct_rows(lake, LakeTable.SPANS), distinct_rows(lake, LakeTable.EVALUATIONS)
            return {
                "cpu_us": sealed_s / made.spans * 1e6,
                "cpu_us_until_shown": asked_s / made.spans * 1e6,
                "spans_per_s": made.spans / wall_s,
                "p50_ms": statistics.median(latencies) * 1e3,
                "p99_ms": statistics.quantiles(latencies, n=100)[-1] * 1e3,
                "peak_mb": peak,
                "lost_spans": made.spans - (stored[0] - before[0]),
                "lost_evaluations": made.evaluations - (stored[1] - before[1]),
            }


def _median(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in measured) for name in measured[0]}


def _print_ours(medians: dict[str, dict[str, float]]) -> None:
    names = ("CPU µs/span", "spans/s/core", "spans/s wall", "p50 ms", "p99 ms", "peak MB", "lost", "µs until shown")
    print(f"{'':10}" + "".join(f"{name:>15}" for name in names))
    for name, median in medians.items():
        cells = (
            f"{median['cpu_us']:.2f}",
            f"{1e6 / median['cpu_us']:,.0f}",
            f"{median['spans_per_s']:,.0f}",
            f"{median['p50_ms']:.1f}",
            f"{median['p99_ms']:.1f}",
            f"{median['peak_mb']:.0f}",
            f"{median['lost_spans']:.0f}+{median['lost_evaluations']:.0f}",
            f"{median['cpu_us_until_shown']:.2f}",
        )
        print(f"{name:10}" + "".join(f"{cell:>15}" for cell in cells))
    print(f"\nto reach: {TARGET_SPANS_PER_S:,} spans/s/core over HTTP and gRPC; lost: spans+evaluations")


def _print_peers(ours: dict[str, float], peers: list[PeerFigures]) -> None:
    print(f"\n{'':20}{'spans':>10}{'CPU µs/span':>15}{'spans/s wall':>15}{'peak MB':>10}{'ratio':>10}{'to reach':>10}")
    print(
        f"{'tracecanary, HTTP':20}{'':10}{ours['cpu_us']:>15.2f}{ours['spans_per_s']:>15,.0f}{ours['peak_mb']:>10.0f}"
    )
    for peer in peers:
        if peer.cpu_us is None:
            print(f"{peer.title:20}{peer.reason}")
            continue
        ratio = f"{peer.cpu_us / ours['cpu_us']:,.0f}x"
        print(
            f"{peer.title:20}{peer.spans:>10,}{peer.cpu_us:>15,.0f}{peer.spans_per_s:>15,.0f}{peer.peak_mb:>10.0f}"
            f"{ratio:>10}{f'{peer.least_ratio}x':>10}"
        )


def _write(*, busy: str, spans: int, ours: dict[str, list[dict[str, float]]], peers: list[PeerFigures]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"ingest-{time.strftime('%Y%m%dT%H%M%S')}.json"
    contents = {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "load": busy,
        "spans": spans,
        "ours": ours,
        "peers": [peer.row() for peer in peers],
    }
    path.write_text(json.dumps(contents, indent=1))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
