"""Settings of the analysis, from the configuration file."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracecanary.analytics.prices import PriceBook, PriceEntry, read_price_file
from tracecanary.schema import (
    CohortDimension,
    ConfigFile,
    ConfigFileError,
    ConfigurationError,
    LakeTable,
    OwnMetric,
    Section,
)

MS_PER_HOUR = 3_600_000
_MS_PER_S = 1000
_MS_PER_DAY = 24 * MS_PER_HOUR
_MIN_COMPACTION_MEMORY_MB = 64


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


def wall_clock_ms() -> int:
    """Return the present time, ms since the epoch: the default of every clock that can be given."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days rows are kept, see `docs/maintenance.md`; None keeps them for ever.

    Spans and traces are as old as their start, evaluations as their receipt. What is derived outlives what it comes
    from: the facts of a trace its spans, and the rollups of a day the facts of its traces.

    Raises:
        ConfigurationError: What is no number of days, or would be dropped before what it is derived from; all of it.
    """

    spans_days: float | None = None
    evaluations_days: float | None = None
    facts_days: float | None = None
    rollups_days: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be kept to, naming all of it."""
        found = retention_problems(dataclasses.asdict(self))
        if found:
            raise ConfigurationError([f"retention: {key} is {value!r}, but {remedy}" for key, value, remedy in found])

    def kept_from_hour(self, *, now_ms: int) -> dict[LakeTable, int]:
        """Return the first hour since the epoch that is kept, of each table that is not kept for ever."""
        days = {LakeTable.SPANS: self.spans_days, LakeTable.EVALUATIONS: self.evaluations_days}
        return {
            table: (now_ms - round(kept * _MS_PER_DAY)) // MS_PER_HOUR
            for table, kept in days.items()
            if kept is not None
        }

    def facts_from_day(self, *, now_ms: int) -> int | None:
        """Return the first day since the epoch (UTC) of whose traces facts are kept; None keeps them for ever."""
        return None if self.facts_days is None else (now_ms - round(self.facts_days * _MS_PER_DAY)) // _MS_PER_DAY

    def rollups_from_day(self, *, now_ms: int) -> int | None:
        """Return the first day since the epoch (UTC) of which rollups are kept; None keeps them for ever."""
        return None if self.rollups_days is None else (now_ms - round(self.rollups_days * _MS_PER_DAY)) // _MS_PER_DAY


def retention_problems(days: Mapping[str, float | None]) -> list[tuple[str, float, str]]:
    """Return what of `days`, by key, can't be kept to: key, value, and what to do."""
    problems = [
        (key, value, "must be greater than 0; leave it out to keep them for ever")
        for key, value in days.items()
        if value is not None and not 0 < value < float("inf")
    ]
    for key, source in (("facts_days", "spans_days"), ("rollups_days", "facts_days")):
        value, least = days.get(key), days.get(source)
        if value is None or any(problem[0] in {key, source} for problem in problems):
            continue
        if least is None:
            problems.append((key, value, f"needs {source}, too: what it is computed from can't be kept for ever"))
        elif value < least:
            problems.append((key, value, f"must be at least {source}, which is {least:g}: it is derived from them"))
    return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivationSettings:
    """What facts depend on beside the lake: with other settings they are derived anew.

    Attributes:
        prices: What calls cost.
        dimensions: Cohort dimensions of the installation's own.
        metrics: Metrics of the installation's own.
        retention: How long facts and rollups are kept.
    """

    prices: PriceBook = field(default_factory=PriceBook)
    dimensions: tuple[CohortDimension, ...] = ()
    metrics: tuple[OwnMetric, ...] = ()
    retention: Retention = Retention()

    @property
    def fingerprint(self) -> str:
        """A text that differs when facts do; how long they are kept makes them no others."""
        declared = sorted((dimension.name, dimension.stored_as) for dimension in self.dimensions)
        measured = sorted(
            (one.name, one.kind.value, one.attribute, one.take.value, one.is_lower_worse) for one in self.metrics
        )
        return f"{self.prices.fingerprint} {declared!r} {measured!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSettings:
    """How compaction works; see `docs/maintenance.md`.

    Attributes:
        every_s: Seconds between compactions by a running service; 0 for none.
        target_bytes: Files of this size are not merged any more.
        max_batch_bytes: Most bytes of files that are rewritten at once.
        max_batch_files: Most files that are rewritten at once.
        max_files_per_hour: More files than these in one hour are merged, also while the hour fills.
        settle_s: An hour that is over is merged when nothing was added to it for this long, in seconds.
        grace_s: Files that are no longer needed are deleted after this long, in seconds. It must be longer than any
            query, or any compaction, takes.
        memory_bytes: Memory of the query engine while it sorts; what does not fit goes to disk.
        threads: Threads of the query engine.
        retention: How long rows are kept.
    """

    every_s: float = 60.0  # of one writer that is twelve segments, which become a file
    target_bytes: int = 256 * 1024 * 1024
    max_batch_bytes: int = 512 * 1024 * 1024
    max_batch_files: int = 1_000
    max_files_per_hour: int = 8
    settle_s: float = 900.0
    grace_s: float = 3600.0
    memory_bytes: int = 512 * 1024 * 1024
    threads: int = 1
    retention: Retention = Retention()

    @property
    def grace_ms(self) -> int:
        """`grace_s` in ms."""
        return round(self.grace_s * _MS_PER_S)


def read_compaction_settings(file: ConfigFile) -> CompactionSettings:
    """Return what `[compaction]` and `[retention]` say; problems are noted in `file`."""
    section = file.section("compaction")
    defaults = CompactionSettings()
    memory_mb = _at_least(section, "memory_mb", _MIN_COMPACTION_MEMORY_MB)
    return CompactionSettings(
        every_s=_or(_at_least(section, "every_s", 0), defaults.every_s),
        grace_s=_or(_at_least(section, "grace_s", 0), defaults.grace_s),
        settle_s=_or(_at_least(section, "settle_s", 0), defaults.settle_s),
        memory_bytes=defaults.memory_bytes if memory_mb is None else round(memory_mb * 1_000_000),
        retention=_read_retention(file.section("retention")),
    )


def _read_retention(section: Section) -> Retention:
    days = {key: section.number(key) for key in ("spans_days", "evaluations_days", "facts_days", "rollups_days")}
    problems = retention_problems(days)
    for key, value, remedy in problems:
        section.note(key, value, remedy)
    return Retention() if problems else Retention(**days)


def _at_least(section: Section, key: str, least: float) -> float | None:
    value = section.number(key)
    if value is not None and value < least:
        section.note(key, value, f"must be at least {least}")
        return None
    return value


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
