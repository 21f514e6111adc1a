"""`tracecanary compact`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tracecanary.analytics.compaction import CompactionReport, compact
from tracecanary.analytics.compaction_policy import CompactionSettings, Retention
from tracecanary.api.cli.entry import EXIT_FAILED
from tracecanary.api.cli.options import counted, lake_folder
from tracecanary.collector.config import LAKE_VARIABLE

_DEFAULTS = CompactionSettings()


def compact_lake(
    lake: Annotated[Path, typer.Option(envvar=LAKE_VARIABLE, help="folder of the lake")],
    keep_spans_days: Annotated[
        float | None, typer.Option(help="delete spans that started longer ago; default: keep all")
    ] = None,
    keep_evaluations_days: Annotated[
        float | None, typer.Option(help="delete evaluations that came longer ago; default: keep all")
    ] = None,
    grace_s: Annotated[
        float, typer.Option(min=0, help="seconds after which files are deleted that no reader needs any more")
    ] = _DEFAULTS.grace_s,
    memory_mb: Annotated[
        int, typer.Option(min=64, help="memory for sorting, in MB; what does not fit goes to disk")
    ] = _DEFAULTS.memory_bytes // 1_000_000,
) -> None:
    """Rewrite the lake's many small files into few large ones, without duplicates.

    A running service does this by itself. Readers and writers go on meanwhile. Exits with 1 if a file is damaged.
    """
    settings = CompactionSettings(
        grace_s=grace_s,
        memory_bytes=memory_mb * 1_000_000,
        retention=Retention(spans_days=keep_spans_days, evaluations_days=keep_evaluations_days),
    )
    report = compact(lake_folder(lake), settings)
    Console(soft_wrap=True).print(_sentences(report), markup=False, highlight=False)
    if report.skipped:
        raise typer.Exit(EXIT_FAILED)


def _sentences(report: CompactionReport) -> str:
    done = (
        f"adopted {counted(report.adopted_files, 'segment')} with {counted(report.adopted_rows, 'row')}, "
        f"merged {counted(report.merged_files, 'file')}, wrote {report.written_files:,}, "
        f"expired {report.expired_files:,}, deleted {report.deleted_files:,}"
    )
    if not report.skipped:
        return done
    return f"{done}\nleft out {counted(len(report.skipped), 'file')}: tracecanary doctor says what to do"
