"""Settings of the service and of the commands, from the configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracecanary.analytics.config import (
    CompactionSettings,
    DerivationSettings,
    PriceSettings,
    read_compaction_settings,
    read_price_settings,
)
from tracecanary.analytics.prices import PriceBook
from tracecanary.collector.rules import Rules
from tracecanary.collector.rules_file import read_rules
from tracecanary.schema import ConfigFile, read_config_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What a configuration file says, for everything that answers or takes data in.

    `trace_url` is where a trace can be opened, with `{trace_id}` in it; None for no links.
    """

    rules: Rules = field(default_factory=Rules)
    prices: PriceSettings = field(default_factory=PriceSettings)
    compaction: CompactionSettings = field(default_factory=CompactionSettings)
    trace_url: str | None = None

    @property
    def derivation(self) -> DerivationSettings:
        """What facts depend on beside the lake, and how long they are kept."""
        return DerivationSettings(
            prices=PriceBook(self.prices.entries),
            dimensions=self.rules.dimensions,
            metrics=self.rules.metrics,
            retention=self.compaction.retention,
        )


def service_settings(config: Path | None) -> ServiceSettings:
    """Return the settings in the file `config`; the defaults without one.

    Raises:
        ConfigFileError: The file can't be used; it lists every problem.
    """
    if config is None:
        return ServiceSettings()
    file = read_config_file(config)
    settings = ServiceSettings(
        rules=read_rules(file),
        prices=read_price_settings(file),
        compaction=read_compaction_settings(file),
        trace_url=_read_trace_url(file),
    )
    file.check()
    return settings


def _read_trace_url(file: ConfigFile) -> str | None:
    """Return what `[links]` says of traces; problems are noted in `file`."""
    section = file.section("links")
    url = section.text("trace_url")
    if url is not None and ("{trace_id}" not in url or not url.startswith(("http://", "https://"))):
        section.note("trace_url", url, "must be an http or https URL with {trace_id} in it")
        return None
    return url
