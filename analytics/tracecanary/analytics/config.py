"""Settings of the analysis, from the configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracecanary.analytics.prices import PriceEntry, read_price_file
from tracecanary.schema import ConfigFile, ConfigFileError


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """Where prices come from; see `docs/prices.md`.

    Attributes:
        file: The installation's own price file, an absolute path; None for the published prices alone.
        entries: The prices in it.
    """

    file: Path | None = None
    entries: tuple[PriceEntry, ...] = ()


def read_price_settings(file: ConfigFile) -> PriceSettings:
    """Return what `[prices]` says, and the prices in the file that it names; problems are noted in `file`."""
    path = file.section("prices").path("file")
    if path is None:
        return PriceSettings()
    try:
        return PriceSettings(file=path, entries=read_price_file(path))
    except ConfigFileError as error:
        file.include(error)
        return PriceSettings(file=path)
