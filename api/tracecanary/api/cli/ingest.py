"""`tracecanary ingest`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tracecanary.api.cli.options import counted
from tracecanary.api.config import service_settings
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.collector.file_ingest import IngestCounts, Store, files_below, ingest_file, ingest_stream, store_batch
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.otlp_stream import (
    DEFAULT_MAX_DECOMPRESSED_BYTES,
    DEFAULT_MAX_REQUEST_BYTES,
    StreamLimits,
)
from tracecanary.schema import CONFIG_VARIABLE, FileLake, MalformedInputError, parse_file_lake

_STDIN = "-"
_MB = 1024**2
_GB = 1024**3
_Progress = Callable[[IngestCounts, int], None]


def ingest(
    files: Annotated[
        list[str],
        typer.Argument(
            help="OTLP traces and logs: files, folders or patterns; protobuf, JSON, JSON lines, or what the "
            "Collector's file exporter writes; also gzip or zstd; - is stdin"
        ),
    ],
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder (made if absent) or URL of the lake")],
    max_request_mb: Annotated[
        int, typer.Option(min=1, help="most MB of one OTLP request (a line, or a file of one request)")
    ] = DEFAULT_MAX_REQUEST_BYTES // _MB,
    max_decompressed_gb: Annotated[
        int, typer.Option(min=1, help="most GB that a file may hold when decompressed")
    ] = DEFAULT_MAX_DECOMPRESSED_BYTES // _GB,
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
) -> None:
    """Read OTLP files into a lake: traces, and the evaluations in logs.

    Reading a file twice changes nothing: a span is one row, however often it arrives. An interrupted reading goes on
    where it stopped when the file is read again. A file that can't be read, or a pattern that matches none, does not
    keep the others from being read; the command then ends with 1.
    """
    location = parse_file_lake(lake)
    limits = StreamLimits(max_request_bytes=max_request_mb * _MB, max_decompressed_bytes=max_decompressed_gb * _GB)
    store = functools.partial(store_batch, location, normaliser=Normaliser(service_settings(config).rules))
    expanded, failures = _expanded(files)
    read_files = 0
    total = IngestCounts()
    console = Console(soft_wrap=True)
    with _progress(expanded) as progress:
        for path in expanded:
            try:
                counts = _ingest_one(path, location, store, limits, _shown(progress, path))
            except MalformedInputError as error:
                failures.append(str(error) if path is None or str(path) in str(error) else f"{path}: {error}")
                continue
            read_files += 1
            total = _added(total, counts)
            for remark in _remarks(path, counts):
                console.print(remark, markup=False, highlight=False)
    read = counted(read_files, "file")
    if total.requests or not failures:
        also = f" and {counted(total.evaluations, 'evaluation')} of logs" if total.evaluations else ""
        console.print(f"read {total.spans:,} spans{also} of {read} into {location}", markup=False, highlight=False)
    if failures:
        raise MalformedInputError("; ".join(failures))


def _expanded(names: list[str]) -> tuple[list[Path | None], list[str]]:
    """Return the files that `names` stand for, None for stdin, and what is wrong with names that stand for none."""
    paths: list[Path | None] = []
    failures: list[str] = []
    for name in names:
        try:
            paths += [None] if name == _STDIN else files_below([name])
        except MalformedInputError as error:
            failures.append(str(error))
    return paths, failures


def _ingest_one(
    path: Path | None, lake: FileLake, store: Store, limits: StreamLimits, on_progress: _Progress
) -> IngestCounts:
    if path is not None:
        return ingest_file(path, lake, store, limits=limits, on_progress=on_progress)
    try:
        return ingest_stream(sys.stdin.buffer, store, limits=limits, on_stored=on_progress)
    except MalformedInputError as error:
        raise MalformedInputError(f"stdin: {error}") from error


def _progress(paths: list[Path | None]) -> Progress:
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[spans]:,} spans"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    for path in paths:
        if path is not None and path.is_file():
            progress.add_task(path.name, total=path.stat().st_size, spans=0, visible=False)
    return progress


def _shown(progress: Progress, path: Path | None) -> _Progress:
    name = "stdin" if path is None else path.name
    task = next((task.id for task in progress.tasks if task.description == name and not task.visible), None)
    if task is None:
        task = progress.add_task(name, total=None, spans=0)
    progress.update(task, visible=True)

    def show(counts: IngestCounts, read_bytes: int) -> None:
        progress.update(task, completed=read_bytes, spans=counts.spans)

    return show


def _added(total: IngestCounts, counts: IngestCounts) -> IngestCounts:
    return IngestCounts(
        requests=total.requests + counts.requests,
        spans=total.spans + counts.spans,
        evaluations=total.evaluations + counts.evaluations,
    )


def _remarks(path: Path | None, counts: IngestCounts) -> list[str]:
    name = "stdin" if path is None else path
    remarks = []
    if counts.resumed_from:
        remarks.append(f"{name}: went on at byte {counts.resumed_from:,}, where an earlier reading had stopped")
    if counts.other_requests:
        remarks.append(f"{name}: passed over {counted(counts.other_requests, 'request')} of metrics or plain logs")
    if counts.is_torn:
        remarks.append(f"{name}: ends inside a request, which was left out. Read it again when it is whole.")
    return remarks
