"""Phoenix and MLflow, given the same OTLP requests: what a span costs them until it is in their database.

Each is installed once into an environment of its own below `.bench-peers`, and runs with SQLite in a temporary folder
on a free loopback port, as its own documentation starts it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from otlp_load import SPANS_PER_REQUEST, http_sender, send_all
from processes import cpu_s, peak_mb, running, wait_until, wait_until_quiet

FOLDER = Path(__file__).parents[1] / ".bench-peers"
_INSTALL_PATIENCE_S, _START_PATIENCE_S, _STORE_PATIENCE_S = 1_800.0, 180.0, 600.0
_WARM_UP_REQUESTS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server of traces.

    Attributes:
        title: Its name.
        requirement: What pip installs.
        command: How it is started, of the folder of its programs, a folder for its data, and a port.
        environment: What it is told besides, of the folder and two free ports.
        health: Path that answers when it is ready.
        database: The file with the table `spans`, of the folder.
        requests: How many it is given.
        connections: How many requests it is given at a time.
        headers: What each request carries.
        least_ratio: How many times as much a span should cost it.
    """

    title: str
    requirement: str
    command: Callable[[Path, Path, int], list[str | Path]]
    environment: Callable[[Path, int, int], dict[str, str]]
    health: str
    database: Callable[[Path], Path]
    requests: int
    least_ratio: int
    connections: int = 4
    headers: Mapping[str, str] = field(default_factory=dict)


PEERS = (
    Peer(
        title="Phoenix 20.26.1",
        requirement="arize-phoenix==20.26.1",
        command=lambda programs, _, __: [programs / "phoenix", "serve"],
        environment=lambda folder, port, grpc_port: {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(grpc_port),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        health="/healthz",
        database=lambda folder: folder / "phoenix.db",
        requests=4,
        least_ratio=500,
    ),
    Peer(
        title="MLflow 3.17.2",
        requirement="mlflow==3.17.2",
        command=lambda programs, folder, port: [
            programs / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", folder / "artifacts",
        ],
        environment=lambda _, __, ___: {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"},
        health="/health",
        database=lambda folder: folder / "mlflow.db",
        requests=16,
        headers={"x-mlflow-experiment-id": "0"},
        least_ratio=60,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFigures:
    """What a peer cost; without figures, the reason why."""

    title: str
    least_ratio: int
    spans: int = 0
    cpu_us: float | None = None
    spans_per_s: float = 0.0
    peak_mb: float = 0.0
    reason: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


def measure_peer(peer: Peer, bodies: list[bytes]) -> PeerFigures:
    """Measure `peer` with some of `bodies`."""
    nothing = PeerFigures(title=peer.title, least_ratio=peer.least_ratio)
    try:
        programs = _installed(peer)
    except (OSError, subprocess.SubprocessError) as error:
        return PeerFigures(title=peer.title, least_ratio=peer.least_ratio, reason=f"not measured: {_told(error)}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measured(peer, programs, Path(folder), bodies[: _WARM_UP_REQUESTS + peer.requests])
    except (OSError, RuntimeError, TimeoutError, sqlite3.Error) as error:
        return PeerFigures(**{**nothing.row(), "reason": f"not measured: {_told(error)}"})


def _installed(peer: Peer) -> Path:
    """Return the folder of the peer's programs, installing them where they are not."""
    environment = FOLDER / peer.requirement.replace("==", "-")
    programs, is_complete = environment / "bin", environment / ".installed"
    if not is_complete.exists():
        print(f"installing {peer.requirement} into {environment} ...", flush=True)
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True, capture_output=True, text=True)
        pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, peer.requirement], check=True, capture_output=True, text=True, timeout=_INSTALL_PATIENCE_S
        )
        is_complete.touch()
    return programs


def _measured(peer: Peer, programs: Path, folder: Path, bodies: list[bytes]) -> PeerFigures:
    port, grpc_port = _free_port(), _free_port()
    environment = {**os.environ, **peer.environment(folder, port, grpc_port)}  # noqa: TID251  settings of a peer
    with (
        (folder / "log").open("w") as log,
        running(peer.command(programs, folder, port), env=environment, cwd=folder, stdout=log, stderr=log) as process,
    ):
        url = f"http://127.0.0.1:{port}{peer.health}"
        wait_until(lambda: _answers(url), what=f"an answer of {url}", patience_s=_START_PATIENCE_S)
        sender = http_sender(f"127.0.0.1:{port}", peer.headers)
        database = peer.database(folder)

        def send_until_stored(some: list[bytes], *, stored: int) -> None:
            send_all(sender, some, connections=peer.connections)
            wanted = stored + len(some) * SPANS_PER_REQUEST
            wait_until(lambda: _stored(database) >= wanted, what=f"{wanted} spans", patience_s=_STORE_PATIENCE_S)

        send_until_stored(bodies[:_WARM_UP_REQUESTS], stored=0)
        wait_until_quiet(process.pid)  # whatever starting has left to do
        cpu, start = cpu_s(process.pid), time.perf_counter()
        send_until_stored(bodies[_WARM_UP_REQUESTS:], stored=_WARM_UP_REQUESTS * SPANS_PER_REQUEST)
        wall_s, spans = time.perf_counter() - start, peer.requests * SPANS_PER_REQUEST
        wait_until_quiet(process.pid)  # what it does with spans once they are stored, costs for instance
        return PeerFigures(
            title=peer.title,
            least_ratio=peer.least_ratio,
            spans=spans,
            cpu_us=(cpu_s(process.pid) - cpu) / spans * 1e6,
            spans_per_s=spans / wall_s,
            peak_mb=peak_mb(process.pid),
        )


def _stored(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        count: int = connection.execute("SELECT count(*) FROM spans").fetchone()[0]
        return count


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _told(error: Exception) -> str:
    """Return the last line of what failed."""
    output = getattr(error, "stderr", None) or str(error)
    return str(output).strip().splitlines()[-1][:200]
