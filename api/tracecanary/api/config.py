"""Settings of the service and of the commands, from the configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracecanary.analytics.config import (
    CompactionSettings,
    PriceSettings,
    read_compaction_settings,
    read_price_settings,
)
from tracecanary.collector.config import read_rules
from tracecanary.collector.rules import Rules
from tracecanary.schema import read_config_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What a configuration file says, for everything that answers or takes data in."""

    rules: Rules = field(default_factory=Rules)
    prices: PriceSettings = field(default_factory=PriceSettings)
    compaction: CompactionSettings = field(default_factory=CompactionSettings)


def service_settings(config: Path | None) -> ServiceSettings:
    """Return the settings in the file `config`; the defaults without one.

    Raises:
        ConfigFileError: The file can't be used; it lists every problem.
    """
    if config is None:
        return ServiceSettings()
    file = read_config_file(config)
    settings = ServiceSettings(
        rules=read_rules(file), prices=read_price_settings(file), compaction=read_compaction_settings(file)
    )
    file.check()
    return settings
