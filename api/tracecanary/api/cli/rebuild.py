"""`tracecanary rebuild`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from tracecanary.analytics.rebuild import rebuild_derived_state
from tracecanary.api.cli.options import counted, existing_lake
from tracecanary.collector.config import LAKE_VARIABLE


def rebuild(
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder or URL of the lake")],
) -> None:
    """Delete everything that is computed from spans and evaluations, and compute it again.

    Never needed in normal work: what is derived follows the lake by itself. It shows that the lake can be read.
    """
    location = existing_lake(lake)
    models = rebuild_derived_state(location)
    Console(soft_wrap=True).print(
        f"rebuilt {location}: {counted(models, 'model')} asked for", markup=False, highlight=False
    )
