"""`tracecanary serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tracecanary.api.service import DEFAULT_COMPACTION_INTERVAL_S, listening_socket, serve_forever, service_url
from tracecanary.collector.config import LAKE_VARIABLE

DEFAULT_PORT = 8080


def serve(
    lake: Annotated[Path, typer.Option(envvar=LAKE_VARIABLE, help="folder of the lake; made if absent")],
    host: Annotated[str, typer.Option(help="address to listen on; 0.0.0.0 for all")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port to listen on; 0 for any free one")] = DEFAULT_PORT,
    compact_every_s: Annotated[
        float, typer.Option(min=0, help="seconds between compactions of the lake; 0 for none by this service")
    ] = DEFAULT_COMPACTION_INTERVAL_S,
) -> None:
    """Answer `/compare` over HTTP from a lake.

    The service has no authentication of its own: keep it on loopback, or behind what your network trusts.
    """
    listener = listening_socket(host, port)
    url = service_url(listener)
    started = f"tracecanary serves {lake} at {url} (documentation: {url}/docs). Ctrl-C stops it."
    serve_forever(
        lake.absolute(),
        listener,
        compact_every_s=compact_every_s,
        on_start=lambda: Console(soft_wrap=True).print(started, markup=False, highlight=False),
    )
