"""`tracecanary prices`: which models have a price, and which."""

from __future__ import annotations

import importlib.metadata
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from tracecanary.analytics.prices import ModelNames, PriceBook, RatePeriod, RateTier
from tracecanary.analytics.prices.book import DAY_NS
from tracecanary.analytics.prices.rates import RATE_PLACES
from tracecanary.analytics.prices.seen import SeenModel, seen_models, unpriced_models
from tracecanary.analytics.store import Store
from tracecanary.api.cli.entry import EXIT_FAILED
from tracecanary.api.cli.options import existing_lake
from tracecanary.api.config import service_settings
from tracecanary.api.presentation import table_console
from tracecanary.api.presentation.wording import plain
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.schema import CONFIG_VARIABLE

prices_app = typer.Typer(help="Show which models have a price, and which.", no_args_is_help=True)
_DATE, _TIME = "%Y-%m-%d", "%Y-%m-%dT%H:%MZ"
_PICO_PLACES = 12
_TEXT_COLUMNS = ("from", "time (UTC)", "source")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Config = Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")]


@prices_app.command()
def check(
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder or URL of the lake to read")],
    config: Config = None,
) -> None:
    """List the models in a lake that have no price, and how to add one; exit with 1 if there are any."""
    settings, location = service_settings(config), existing_lake(lake)
    seen = seen_models(Store(location, settings.derivation))
    unpriced = unpriced_models(seen, settings.derivation.prices)
    models = len({model.names.model for model in seen})
    if not unpriced:
        typer.echo(
            f"All {models} models with tokens in {location} have a price." if models else f"No tokens in {location}."
        )
        return
    console = table_console()
    console.print(_unpriced_table(unpriced))
    names = list(dict.fromkeys(str(model.names.model) for model in unpriced))
    console.print(Text(_how_to_add(names, settings.prices.file, len(names), models)), soft_wrap=True)
    raise typer.Exit(EXIT_FAILED)


@prices_app.command()
def show(
    model: Annotated[str, typer.Argument(help="model, as it was asked for or answered")],
    provider: Annotated[
        str | None, typer.Option(help="provider, such as openai; found by the model by default")
    ] = None,
    config: Config = None,
) -> None:
    """Show the rates of a model and where they are from; exit with 1 if it has none."""
    entries = service_settings(config).prices.entries
    periods = PriceBook(entries).periods(ModelNames(model=model, provider=provider))
    if not periods:
        where = "" if provider is None else f" of provider {provider!r}"
        typer.echo(f"{model!r}{where} has no price. {_place(None)}", err=True)
        raise typer.Exit(EXIT_FAILED)
    console = table_console()
    console.print(_rates_table(model, periods))
    version = importlib.metadata.version("genai-prices")
    console.print(
        Text(f"USD per million tokens. Published prices are those of genai-prices {version}."), soft_wrap=True
    )


def _unpriced_table(unpriced: list[SeenModel]) -> Table:
    table = Table(box=box.SIMPLE, title=Text("models without a price"), title_justify="left")
    for name in ("model", "answered as", "provider"):
        table.add_column(name, overflow="fold")
    table.add_column("spans with tokens", justify="right")
    for model in unpriced:
        names = (model.names.model, model.names.response_model, model.names.provider)
        table.add_row(*(Text("-" if name is None else plain(name)) for name in names), f"{model.spans:,}")
    return table


def _how_to_add(names: list[str], file: Path | None, count: int, models: int) -> str:
    lines = [f"{count} of {models} models have no price: what they cost is unknown, not 0. {_place(file)}"]
    for name in names:
        # As text of TOML, which has the escapes of JSON.
        lines += ["", "[[price]]", f"model = {json.dumps(name, ensure_ascii=False)}"]
        lines += ["input =   # USD per million tokens", "output =  # likewise; 0 for a model without output"]
    return "\n".join(lines)


def _place(file: Path | None) -> str:
    if file is not None:
        return f"Add to {file}:"
    return 'Give it one in a price file, which the configuration file names: [prices] file = "prices.toml".'


def _rates_table(model: str, periods: tuple[RatePeriod, ...]) -> Table:
    rows = [
        {**_when(period), **_rates(tier), "source": period.source.value} for period in periods for tier in period.tiers
    ]
    table = Table(box=box.SIMPLE, title=Text(plain(model)), title_justify="left")
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    for name in names:
        table.add_column(name, justify="left" if name in _TEXT_COLUMNS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _when(period: RatePeriod) -> dict[str, str]:
    times = [_moment(at).strftime("%H:%M") for at in (period.day_from_ns, period.day_until_ns)]
    start = _moment(period.from_unix_ns)
    return {
        "from": start.strftime(_DATE if period.from_unix_ns % DAY_NS == 0 else _TIME) if period.from_unix_ns else "",
        "time (UTC)": "" if times == ["00:00", "00:00"] else "-".join(times),
    }


def _moment(unix_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=unix_ns // 1_000)


def _rates(tier: RateTier) -> dict[str, str]:
    rates = tier.rates
    return {
        "input over": f"{tier.input_tokens_from - 1:,}" if tier.input_tokens_from else "",
        "input": _usd(rates.input, RATE_PLACES),
        "cached": _usd(rates.cached_input, RATE_PLACES),
        "written": _usd(rates.cache_write, RATE_PLACES),
        "output": _usd(rates.output, RATE_PLACES),
        "reasoning": _usd(rates.reasoning, RATE_PLACES),
        "each call": _usd(rates.call, _PICO_PLACES) if rates.call else "",
    }


def _usd(value: int, places: int) -> str:
    return f"{Decimal(value).scaleb(-places).normalize():f}"
