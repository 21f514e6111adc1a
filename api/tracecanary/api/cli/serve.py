"""`tracecanary serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tracecanary.api.config import service_settings
from tracecanary.api.service import listening_socket, serve_forever, service_url
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.schema import CONFIG_VARIABLE, parse_file_lake

DEFAULT_PORT = 8080


def serve(
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder (made if absent) or URL of the lake")],
    host: Annotated[str, typer.Option(help="address to listen on; 0.0.0.0 for all")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port to listen on; 0 for any free one")] = DEFAULT_PORT,
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
) -> None:
    """Answer `/compare` over HTTP from a lake.

    The service has no authentication of its own: keep it on loopback, or behind what your network trusts.
    """
    location = parse_file_lake(lake)
    settings = service_settings(config)
    listener = listening_socket(host, port)
    url = service_url(listener)
    started = f"tracecanary serves {location} at {url} (documentation: {url}/docs). Ctrl-C stops it."
    serve_forever(
        location,
        listener,
        settings=settings,
        on_start=lambda: Console(soft_wrap=True).print(started, markup=False, highlight=False),
    )
