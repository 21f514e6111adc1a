"""`tracecanary compact`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tracecanary.analytics.compaction import CompactionReport, compact
from tracecanary.analytics.store import Store
from tracecanary.api.cli.entry import EXIT_FAILED
from tracecanary.api.cli.options import counted, existing_lake
from tracecanary.api.config import service_settings
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.collector.destinations import publish_left_rows
from tracecanary.schema import CONFIG_VARIABLE


def compact_lake(
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder or URL of the lake")],
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
) -> None:
    """Rewrite the lake's many small files into few large ones, without duplicates; drop what is not to be kept.

    So do facts and rollups expire, as [retention] says. A running service does all this by itself. Readers and writers
    go on meanwhile. Exits with 1 if a file is damaged.
    """
    settings, location = service_settings(config), existing_lake(lake)
    console = Console(soft_wrap=True)
    recovered = publish_left_rows(location)
    if recovered:
        console.print(f"recovered {counted(recovered, 'row')} of processes that had died", highlight=False)
    store = Store(location, settings.derivation)
    report = compact(location, settings.compaction, before_expiry=store.current_snapshot)
    console.print(_sentences(report), markup=False, highlight=False)
    if settings.compaction.retention.facts_days is not None:
        store.current_snapshot()  # facts expire after their spans
        store.expire_others()
        facts_from = store.facts_from()
        since = "all traces" if facts_from is None else f"traces that started since {facts_from:%Y-%m-%d}"
        console.print(f"facts are kept of {since}", markup=False, highlight=False)
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
