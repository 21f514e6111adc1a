"""`tracecanary ingest`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from tracecanary.api.config import service_settings
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.collector.ingest import decode_otlp_file, store_spans
from tracecanary.collector.normalise import Normaliser
from tracecanary.schema import CONFIG_VARIABLE, MalformedInputError, parse_file_lake


def ingest(
    files: Annotated[
        list[str], typer.Argument(help="OTLP trace files: protobuf, JSON or JSON lines, also gzip; - is stdin")
    ],
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder (made if absent) or URL of the lake")],
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
) -> None:
    """Read OTLP trace files into a lake.

    Reading a file twice changes nothing: a span is one row, however often it arrives. A file that can't be read stops
    the command; what the files before it held is stored.
    """
    location = parse_file_lake(lake)
    normaliser = Normaliser(service_settings(config).rules)
    spans = 0
    console = Console(stderr=True)
    for name in track(files, description="reading", console=console, disable=not console.is_terminal):
        spans += store_spans(location, _decode(name), normaliser)
    files_read = f"{len(files)} file{'' if len(files) == 1 else 's'}"
    Console(soft_wrap=True).print(
        f"read {spans:,} spans of {files_read} into {location}", markup=False, highlight=False
    )


def _decode(name: str) -> list[CapturedSpan]:
    try:
        return decode_otlp_file(_read(name))
    except MalformedInputError as error:
        raise MalformedInputError(f"{name}: {error}") from error


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise MalformedInputError(f"can't read {name!r}: {error.strerror}. Check the path and its rights.") from error
