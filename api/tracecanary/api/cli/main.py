"""`tracecanary`: the commands, and how their errors read."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tracecanary.api.cli.compact import compact_lake
from tracecanary.api.cli.compare import compare_arms
from tracecanary.api.cli.demo import demo
from tracecanary.api.cli.doctor import doctor
from tracecanary.api.cli.entry import EXIT_FAILED
from tracecanary.api.cli.ingest import ingest
from tracecanary.api.cli.policy import policy_app
from tracecanary.api.cli.prices import prices_app
from tracecanary.api.cli.rebuild import rebuild
from tracecanary.api.cli.serve import serve
from tracecanary.api.presentation.wording import plain
from tracecanary.schema import ConfigFileError, TraceCanaryError

app = typer.Typer(
    name="tracecanary",
    help="Canary analysis for LLM model releases, from the OpenTelemetry traces you already have.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"tracecanary {importlib.metadata.version('tracecanary')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(demo)
app.command()(serve)
app.command(name="compare")(compare_arms)
app.command()(ingest)
app.command(name="compact")(compact_lake)
app.command()(rebuild)
app.command()(doctor)
app.add_typer(policy_app, name="policy")
app.add_typer(prices_app, name="prices")


def run() -> None:
    """Run the command line; a foreseen error is a line on stderr, not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app()
    except TraceCanaryError as error:
        shown = Text.assemble(("error: ", "bold red"), _shown(error))
        Console(stderr=True, soft_wrap=True).print(shown)
        raise SystemExit(EXIT_FAILED) from error


def _shown(error: TraceCanaryError) -> str:
    if not isinstance(error, ConfigFileError):
        return plain(str(error))
    # One line a problem: a file may have many.
    return "\n  ".join(plain(line) for line in str(error).split("\n"))
