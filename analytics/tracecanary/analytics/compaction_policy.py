"""Which files are worth rewriting. Pure.

A row is written at least twice: out of landing, where a writer leaves a file every few seconds, into a file of its
hour, and later with the others of that hour into one. An hour that still fills is merged only when many files have come
together, one that is over only when nothing has been added for a while: a trickle of late spans must not rewrite a full
hour for each of them. Files of the target size are left alone, so that no row is rewritten without end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tracecanary.schema import ConfigurationError, LakeFile, LakeTable, StoredFile

MS_PER_HOUR = 3_600_000
_MS_PER_S = 1000
_MS_PER_DAY = 24 * MS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days rows are kept; None keeps them for ever.

    Spans are as old as their start, evaluations as their receipt, facts as the start of their trace.
    """

    spans_days: float | None = None
    evaluations_days: float | None = None
    facts_days: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no number of days, naming all of it."""
        given = {"spans": self.spans_days, "evaluations": self.evaluations_days, "facts": self.facts_days}
        problems = [
            f"retention of {name} is {days!r} days, but must be greater than 0. Leave it out to keep them for ever"
            for name, days in given.items()
            if days is not None and not 0 < days < float("inf")
        ]
        if problems:
            raise ConfigurationError(problems)

    def kept_from_hour(self, *, now_ms: int) -> dict[LakeTable, int]:
        """Return the first hour since the epoch that is kept, of each table that is not kept for ever."""
        days = {LakeTable.SPANS: self.spans_days, LakeTable.EVALUATIONS: self.evaluations_days}
        return {
            table: (now_ms - round(kept * _MS_PER_DAY)) // MS_PER_HOUR
            for table, kept in days.items()
            if kept is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSettings:
    """How compaction works.

    Attributes:
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


def segments_to_adopt(segments: Sequence[StoredFile], settings: CompactionSettings) -> tuple[StoredFile, ...]:
    """Return the oldest of `segments`, at least one and as many as may be rewritten at once."""
    taken: list[StoredFile] = []
    size_bytes = 0
    for segment in segments:
        size_bytes += segment.size_bytes
        if taken and (size_bytes > settings.max_batch_bytes or len(taken) == settings.max_batch_files):
            break
        taken.append(segment)
    return tuple(taken)


def files_to_merge(
    files: Sequence[LakeFile], settings: CompactionSettings, *, now_ms: int
) -> list[tuple[LakeFile, ...]]:
    """Return groups of files to rewrite into one, each of one hour of one table, the fullest hours first."""
    hours: defaultdict[tuple[LakeTable, int], list[LakeFile]] = defaultdict(list)
    for file in files:
        if file.size_bytes < settings.target_bytes:
            hours[file.table, file.hour].append(file)
    groups = [_smallest(group, settings) for group in hours.values() if _is_merged(group, settings, now_ms=now_ms)]
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def _is_merged(group: Sequence[LakeFile], settings: CompactionSettings, *, now_ms: int) -> bool:
    if len(group) > settings.max_files_per_hour:
        return True
    settle_ms = settings.settle_s * _MS_PER_S
    is_over = now_ms >= (group[0].hour + 1) * MS_PER_HOUR + settle_ms
    return is_over and now_ms >= max(file.made_unix_ms for file in group) + settle_ms


def _smallest(group: Sequence[LakeFile], settings: CompactionSettings) -> tuple[LakeFile, ...]:
    taken: list[LakeFile] = []
    size_bytes = 0
    for file in sorted(group, key=lambda file: (file.size_bytes, file.path)):
        size_bytes += file.size_bytes
        # Two of less than the target size fit in any case, so that every hour gets done.
        if len(taken) >= 2 and (size_bytes > settings.max_batch_bytes or len(taken) == settings.max_batch_files):
            break
        taken.append(file)
    return tuple(taken)
