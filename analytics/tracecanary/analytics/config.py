"""Settings of the analysis, from the configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracecanary.schema import ConfigFile


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """Where prices come from; see `docs/prices.md`.

    `file` is the installation's own price file, an absolute path; None for the published prices alone.
    """

    file: Path | None = None


def read_price_settings(file: ConfigFile) -> PriceSettings:
    """Return what `[prices]` says; problems are noted in `file`."""
    section = file.section("prices")
    path = section.path("file")
    if path is not None and not path.is_file():
        section.note(
            "file", str(path), "there is no such file. Check the path; a relative one starts at this file's folder"
        )
    return PriceSettings(file=path)
