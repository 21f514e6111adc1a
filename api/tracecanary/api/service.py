"""Running the HTTP service: in the foreground, or beside other work in the same process."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from tracecanary.api.app import create_app
from tracecanary.api.config import ServiceSettings
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
# How long spans of a process that was killed stay out of sight.
_ORPHANS_INTERVAL_S = 15.0


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind a TCP socket; port 0 takes any free one.

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
            [f"can't listen on {host}:{port}: {error}. Choose another --port, or 0 for any free one"]
        ) from error
    return listener


def service_url(listener: socket.socket) -> str:
    """Return the URL that the service of `listener` answers at."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def serve_forever(
    lake: FileLake, listener: socket.socket, *, on_start: Callable[[], None], settings: ServiceSettings | None = None
) -> None:
    """Run the service until it is told to stop (SIGINT, SIGTERM); call `on_start` when it is about to listen."""
    server = _server(lake, settings)
    on_start()
    with _orphans_published(lake):
        server.run(sockets=[listener])


@contextmanager
def running_service(lake: FileLake, settings: ServiceSettings | None = None) -> Iterator[str]:
    """Run the service on a free loopback port in a thread; give its URL, and stop it at the end."""
    server = _server(lake, settings)
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
        yield service_url(listener)
    finally:
        server.should_exit = True
        thread.join(_START_LIMIT_S)
        listener.close()


@contextmanager
def _orphans_published(lake: FileLake) -> Iterator[None]:
    """Add, now and from time to time, what killed processes have left in their journals."""
    has_ended = threading.Event()

    def publish() -> None:
        while True:
            try:
                publish_left_rows(lake)
            except LakeError as error:
                _logger.warning("%s", error)
            if has_ended.wait(_ORPHANS_INTERVAL_S):
                return

    thread = threading.Thread(target=publish, name="tracecanary-orphans", daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join(_START_LIMIT_S)


def _server(lake: FileLake, settings: ServiceSettings | None) -> uvicorn.Server:
    if isinstance(lake, Path):
        try:
            lake.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"can't make the lake {lake}: {error}. Choose a folder that can be written.") from error
    else:
        # A bucket that is missing, or credentials that are wrong, stop the service at its start.
        landing_files(lake_storage(lake), LakeTable.SPANS)
    return uvicorn.Server(uvicorn.Config(create_app(lake, settings), log_level="warning", access_log=False))
