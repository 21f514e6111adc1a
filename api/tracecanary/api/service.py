"""Running the HTTP service: in the foreground, or beside other work in the same process."""

from __future__ import annotations

import gc
import logging
import platform
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import uvicorn
from fastapi import FastAPI

from tracecanary.analytics.store import Store
from tracecanary.api.app import create_app
from tracecanary.api.background_compaction import compacting
from tracecanary.api.background_derivation import deriving
from tracecanary.api.config import ServiceSettings
from tracecanary.api.receiver.config import ReceiverSettings
from tracecanary.api.receiver.metrics import ServiceMetrics
from tracecanary.api.repeated_work import repeating
from tracecanary.collector.destinations import publish_left_rows
from tracecanary.schema import (
    ConfigurationError,
    FileLake,
    LakeError,
    LakeTable,
    StoreError,
    lake_storage,
    landing_files,
)

_logger = logging.getLogger(__name__)
_START_LIMIT_S = 30.0
_BACKLOG = 2048  # as uvicorn's own
# Python's own 700 are reached several times in a request; these take about 5 MB.
_COLLECTED_OBJECTS = 50_000
# How long spans of a process that was killed stay out of sight.
_ORPHANS_INTERVAL_S = 15.0


def listening_socket(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """Bind a TCP socket; port 0 takes any free one. `option` is what chooses the port.

    Raises:
        ConfigurationError: The address can't be used, with the reason.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigurationError(
            [f"can't listen on {host}:{port}: {error}. Choose another {option}, or 0 for any free one"]
        ) from error
    return listener


def free_address(host: str, port: int) -> str:
    """Return host:port for a server that binds it itself, with a free port for 0.

    Raises:
        ConfigurationError: The address can't be used, with the reason.
    """
    with listening_socket(host, port, option="--grpc-port") as listener:
        return _address(listener)


def service_url(listener: socket.socket, *, is_tls: bool = False) -> str:
    """Return the URL that the service of `listener` answers at."""
    return f"{'https' if is_tls else 'http'}://{_address(listener)}"


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve_forever(
    lake: FileLake,
    listener: socket.socket,
    *,
    on_start: Callable[[], None],
    settings: ServiceSettings | None = None,
    receiver: ReceiverSettings | None = None,
    grpc_address: str | None = None,
) -> None:
    """Run the service until it is told to stop (SIGINT, SIGTERM); call `on_start` when it answers."""
    listener.listen(_BACKLOG)  # who connects before the event loop runs waits, and is not refused
    _reuse_memory()
    answers = threading.Event()

    def note_start() -> None:
        answers.set()
        on_start()

    app = create_app(lake, settings, receiver=receiver, grpc_address=grpc_address, on_start=note_start)
    server = _server(lake, app, receiver)
    compaction = (settings or ServiceSettings()).compaction
    metrics: ServiceMetrics = app.state.metrics
    store: Store = app.state.store
    with (
        _collecting_seldom(),
        # Now and from time to time: what killed processes have left in their journals.
        repeating(_publish_orphans(lake), name="tracecanary-orphans", every_s=_ORPHANS_INTERVAL_S, after=answers),
        deriving(store, after=answers),
        compacting(
            lake,
            compaction,
            after=answers,
            observe=metrics.observe_compaction,
            before_expiry=store.refresh,
            after_expiry=store.expire_others,
        ),
    ):
        server.run(sockets=[listener])


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for cycles of garbage when there may be some: a request leaves thousands of objects, and none in a cycle."""
    gc.collect()
    gc.freeze()  # modules and their functions stay anyway
    gc.set_threshold(_COLLECTED_OBJECTS, *gc.get_threshold()[1:])
    try:
        yield
    finally:
        gc.unfreeze()  # or they outlive the interpreter, and compiled modules that look for leaks print these


def _reuse_memory() -> None:
    """Let Arrow take its memory from the C library, which keeps what is freed for the next requests.

    Its own allocator gives it back after 10 ms: to get it again, cleared by the kernel, cost a fifth of a span's CPU.
    """
    if platform.libc_ver()[0] == "glibc" and pa.default_memory_pool().backend_name == "mimalloc":
        pa.set_memory_pool(pa.system_memory_pool())


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAddresses:
    """Where a service answers: a URL, and host:port of OTLP over gRPC."""

    url: str
    grpc: str


@contextmanager
def running_service(lake: FileLake, settings: ServiceSettings | None = None) -> Iterator[str]:
    """Run the service on a free loopback port in a thread, without gRPC; give its URL, and stop it at the end."""
    with _running(lake, create_app(lake, settings), None) as url:
        yield url


@contextmanager
def running_receiver(
    lake: FileLake, receiver: ReceiverSettings | None = None, settings: ServiceSettings | None = None
) -> Iterator[ServiceAddresses]:
    """Run the service with gRPC, as `running_service` does; give both addresses."""
    grpc_address = free_address("127.0.0.1", 0)
    app = create_app(lake, settings, receiver=receiver, grpc_address=grpc_address)
    with _running(lake, app, receiver) as url:
        yield ServiceAddresses(url=url, grpc=grpc_address)


@contextmanager
def _running(lake: FileLake, app: FastAPI, receiver: ReceiverSettings | None) -> Iterator[str]:
    server = _server(lake, app, receiver)
    listener = listening_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="tracecanary-api", daemon=True)
    thread.start()
    waiting = threading.Event()
    for _ in range(int(_START_LIMIT_S / 0.02)):
        if server.started or not thread.is_alive():
            break
        waiting.wait(0.02)
    if not server.started:
        listener.close()
        raise StoreError(f"the service did not start within {_START_LIMIT_S:.0f} s; its log says why")
    try:
        yield service_url(listener, is_tls=receiver is not None and receiver.tls is not None)
    finally:
        server.should_exit = True
        thread.join(_START_LIMIT_S)
        listener.close()


def _publish_orphans(lake: FileLake) -> Callable[[threading.Event], None]:
    def publish(_has_ended: threading.Event) -> None:
        try:
            publish_left_rows(lake)
        except LakeError as error:
            _logger.warning("%s", error)
        except Exception:
            # Whatever it is, the rows stay where they are, and the next try comes.
            _logger.exception("what killed processes left could not be added; it is tried again")

    return publish


def _server(lake: FileLake, app: FastAPI, receiver: ReceiverSettings | None) -> uvicorn.Server:
    if isinstance(lake, Path):
        try:
            lake.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"can't make the lake {lake}: {error}. Choose a folder that can be written.") from error
    else:
        # A bucket that is missing, or credentials that are wrong, stop the service at its start.
        landing_files(lake_storage(lake), LakeTable.SPANS)
    tls = receiver.tls if receiver is not None else None
    config = uvicorn.Config(
        app,
        log_config=None,  # uvicorn's lines are written as all others are
        log_level="warning",
        access_log=False,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )
    return uvicorn.Server(config)
