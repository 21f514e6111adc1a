"""`tracecanary serve`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tracecanary.api.config import service_settings
from tracecanary.api.logs import LogFormat, set_log_format
from tracecanary.api.receiver.config import TlsFiles, receiver_settings
from tracecanary.api.service import free_address, listening_socket, serve_forever, service_url
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.schema import CONFIG_VARIABLE, ConfigurationError, parse_file_lake

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

DEFAULT_PORT = 8080
DEFAULT_GRPC_PORT = 4317
_PEM = {"exists": True, "dir_okay": False, "readable": True}


def serve(
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder (made if absent) or URL of the lake")],
    host: Annotated[str, typer.Option(help="address to listen on; 0.0.0.0 for all")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port to listen on; 0 for any free one")] = DEFAULT_PORT,
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help=f"port for OTLP over gRPC; 0 for any free one  [default: {DEFAULT_GRPC_PORT}, or 0 with --port 0]",
        ),
    ] = None,
    grpc: Annotated[bool, typer.Option(help="receive OTLP over gRPC, too")] = True,
    log_format: Annotated[LogFormat, typer.Option(help="how the log is written")] = LogFormat.TEXT,
    ssl_certfile: Annotated[Path | None, typer.Option(help="certificate chain in PEM: serve TLS", **_PEM)] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="private key of the certificate, in PEM", **_PEM)] = None,
) -> None:
    """Receive traces and evaluations, and answer `/compare`, from a lake.

    OTLP arrives at `/v1/traces` and `/v1/logs` over HTTP, and over gRPC. With TRACECANARY_TOKENS (or
    TRACECANARY_TOKENS_FILE) set, who sends needs one of these tokens. Who asks needs none: keep the service on
    loopback, or behind what your network trusts.
    """
    set_log_format(log_format)
    _allow_open_files()
    location = parse_file_lake(lake)
    settings, receiver = service_settings(config), receiver_settings(tls=_tls(ssl_certfile, ssl_keyfile))
    listener = listening_socket(host, port)
    if grpc_port is None:
        grpc_port = DEFAULT_GRPC_PORT if port else 0
    grpc_address = free_address(host, grpc_port) if grpc else None
    url = service_url(listener, is_tls=receiver.tls is not None)
    also = f" and receives OTLP over gRPC at {grpc_address}" if grpc_address else ""
    started = f"tracecanary serves {location} at {url} (documentation: {url}/docs){also}. Ctrl-C stops it."
    serve_forever(
        location,
        listener,
        settings=settings,
        on_start=lambda: Console(soft_wrap=True).print(started, markup=False, highlight=False),
        receiver=receiver,
        grpc_address=grpc_address,
    )


def _allow_open_files() -> None:
    """Open as many files as the system lets this process: idle connections alone can take up the usual 1,024."""
    if resource is not None:
        with contextlib.suppress(ValueError, OSError):  # macOS names a limit that it does not grant
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _tls(certificate: Path | None, key: Path | None) -> TlsFiles | None:
    if (certificate is None) != (key is None):
        raise ConfigurationError(["give --ssl-certfile and --ssl-keyfile together"])
    return TlsFiles(certificate=certificate, key=key) if certificate is not None and key is not None else None
