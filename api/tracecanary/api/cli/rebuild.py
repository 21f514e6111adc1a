"""`tracecanary rebuild`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tracecanary.analytics.rebuild import rebuild_derived_state
from tracecanary.api.cli.options import counted, existing_lake
from tracecanary.api.config import service_settings
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.schema import CONFIG_VARIABLE


def rebuild(
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder or URL of the lake")],
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
    drop_expired: Annotated[
        bool,
        typer.Option(
            "--drop-expired",
            help="lose facts that have outlived their spans, and rollups that have outlived their facts",
        ),
    ] = False,
) -> None:
    """Delete everything that is computed from spans and evaluations, and compute it again.

    Never needed in normal work: what is derived follows the lake by itself. It shows that the lake can be read.
    """
    location = existing_lake(lake)
    models = rebuild_derived_state(location, service_settings(config).derivation, may_drop_expired=drop_expired)
    Console(soft_wrap=True).print(
        f"rebuilt {location}: {counted(models, 'model')} asked for", markup=False, highlight=False
    )
