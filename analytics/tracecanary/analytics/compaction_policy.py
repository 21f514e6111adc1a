"""Which files are worth rewriting. Pure.

A row is written at least twice: out of landing, where a writer leaves a file every few seconds, into a file of its
hour, and later with the others of that hour into one. An hour that still fills is merged only when many files have come
together, one that is over only when nothing has been added for a while: a trickle of late spans must not rewrite a full
hour for each of them. Files of the target size are left alone, so that no row is rewritten without end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tracecanary.analytics.config import MS_PER_HOUR, CompactionSettings
from tracecanary.schema import LakeFile, LakeTable, StoredFile

_MS_PER_S = 1000


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
