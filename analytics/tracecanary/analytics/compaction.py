"""Rewriting a lake while it is read and written: few large files instead of many small ones, and none twice.

Theory of operation. One step reads some files, writes their rows into new ones, and publishes a manifest that lists the
new files and drops the old. Until then nobody reads the new files, from then on nobody lists the old. Whoever is killed
in between leaves files that no manifest lists, for the sweep. When another compaction has published a manifest
meanwhile, the step is published on top of that one, unless both rewrote the same file: then the later one throws its
work away. So any number of compactions may run at once; only work is lost.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracecanary.analytics.compaction_files import remove_files, write_hours
from tracecanary.analytics.compaction_policy import (
    MS_PER_HOUR,
    CompactionSettings,
    Segment,
    files_to_merge,
    segments_to_adopt,
)
from tracecanary.analytics.store import EngineLimits, check_segment, compacted_rows, refuse_damaged_content
from tracecanary.analytics.sweep import TEMPORARY_PREFIX, present_files, sweep
from tracecanary.schema import (
    Change,
    CompactionConflictError,
    LakeError,
    LakeFiles,
    LakeTable,
    StoreError,
    forgettable,
    list_lake_files,
    newest_manifest,
    next_manifest,
    publish_manifest,
    relative_path,
)

_logger = logging.getLogger(__name__)
_NS_PER_HOUR = MS_PER_HOUR * 1_000_000
# Each is lost to another compaction that published in between; so many in a row never happened.
_TRIES = 100


@dataclass(slots=True, kw_only=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        adopted_files: Segments taken out of landing.
        adopted_rows: Rows that they became; fewer than they held when some were there twice.
        merged_files: Files of one hour that were merged.
        written_files: Files that were written.
        expired_files: Files that retention dropped.
        deleted_files: Files that nobody needs any more, deleted.
        conflicts: Steps thrown away because another compaction was faster.
        skipped: Files that can't be rewritten: path and reason.
    """

    adopted_files: int = 0
    adopted_rows: int = 0
    merged_files: int = 0
    written_files: int = 0
    expired_files: int = 0
    deleted_files: int = 0
    conflicts: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Files of one table to rewrite together."""

    table: LakeTable
    paths: tuple[Path, ...]
    is_adoption: bool


def wall_clock_ms() -> int:
    """Return the present time, ms since the epoch."""
    return time.time_ns() // 1_000_000


def compact(
    lake: Path, settings: CompactionSettings, *, clock_ms: Callable[[], int] = wall_clock_ms
) -> CompactionReport:
    """Rewrite everything that is worth it, drop what retention no longer keeps, and delete what nobody needs.

    A damaged file is left where it is, and named in the report; everything else goes on.

    Raises:
        LakeError: The lake can't be read or written. What was published until then stays; nothing is lost.
        StoreError: The engine failed, for instance because its memory did not suffice.
    """
    report = CompactionReport()
    with _temporary_folder(lake) as spill:
        limits = EngineLimits(memory_bytes=settings.memory_bytes, threads=settings.threads, spill_folder=spill)
        while (step := _next_step(list_lake_files(lake), settings, report, now_ms=clock_ms())) is not None:
            _take(step, lake, settings, limits, report, clock_ms)
    _expire(lake, settings, report, now_ms=clock_ms())
    report.deleted_files = sweep(lake, now_ms=clock_ms(), grace_ms=settings.grace_ms)
    return report


def _next_step(
    files: LakeFiles, settings: CompactionSettings, report: CompactionReport, *, now_ms: int
) -> _Step | None:
    for table, paths in files.landing.items():
        usable = [path for path in paths if str(path) not in report.skipped]
        segments = segments_to_adopt(_sized(usable), settings)
        if segments:
            return _Step(table=table, paths=tuple(segment.path for segment in segments), is_adoption=True)
    usable_files = [file for file in files.manifest.files if str(files.lake / file.path) not in report.skipped]
    for group in files_to_merge(usable_files, settings, now_ms=now_ms):
        return _Step(table=group[0].table, paths=tuple(files.lake / file.path for file in group), is_adoption=False)
    return None


def _sized(paths: Sequence[Path]) -> list[Segment]:
    sized = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # adopted and swept since it was listed
            sized.append(Segment(path=path, size_bytes=path.stat().st_size))
    return sized


def _take(
    step: _Step,
    lake: Path,
    settings: CompactionSettings,
    limits: EngineLimits,
    report: CompactionReport,
    clock_ms: Callable[[], int],
) -> None:
    started_ms = clock_ms()
    paths = _readable(step.paths, report)
    if not paths:
        return
    kept_from_hour = settings.retention.kept_from_hour(now_ms=started_ms).get(step.table)
    kept_from_unix_ns = -(2**63) if kept_from_hour is None else kept_from_hour * _NS_PER_HOUR
    try:
        with compacted_rows(step.table, paths, kept_from_unix_ns=kept_from_unix_ns, limits=limits) as rows:
            added = write_hours(lake, step.table, rows, clock_ms=clock_ms)
    except StoreError:
        if not _skip_damaged(paths, report):
            raise
        return  # the next step goes on without them
    change = Change(added=tuple(added), removed=frozenset(relative_path(lake, path) for path in paths))
    try:
        _publish(lake, change, settings, clock_ms=clock_ms, started_ms=started_ms)
    except (CompactionConflictError, LakeError) as error:
        remove_files(lake, added)
        if isinstance(error, LakeError):
            raise
        report.conflicts += 1
        return
    report.written_files += len(added)
    if step.is_adoption:
        report.adopted_files += len(paths)
        report.adopted_rows += sum(file.rows for file in added)
    else:
        report.merged_files += len(paths)


def _readable(paths: Sequence[Path], report: CompactionReport) -> list[Path]:
    readable = []
    for path in paths:
        try:
            check_segment(path)
        except StoreError as error:
            if path.exists():
                _skip(path, error, report)
        else:
            readable.append(path)
    return readable


def _skip_damaged(paths: Sequence[Path], report: CompactionReport) -> bool:
    """Note which of `paths` can't be read to their end; return whether there are any, or some have vanished."""
    has_found = False
    for path in paths:
        try:
            refuse_damaged_content([path])
        except StoreError as error:
            has_found = True
            if path.exists():
                _skip(path, error, report)
    return has_found


def _skip(path: Path, error: StoreError, report: CompactionReport) -> None:
    report.skipped[str(path)] = str(error)
    _logger.warning("not compacted: %s", error)


def _publish(
    lake: Path, change: Change, settings: CompactionSettings, *, clock_ms: Callable[[], int], started_ms: int
) -> None:
    for _ in range(_TRIES):
        now_ms = clock_ms()
        if change.added and now_ms - started_ms > settings.grace_ms // 2:
            # Another sweep may soon take the new files for those of a process that was killed.
            raise LakeError(
                f"rewriting {len(change.removed)} files took {(now_ms - started_ms) / 1000:.0f} s, more than half of "
                f"the grace period of {settings.grace_s:.0f} s. Nothing was changed; set a longer grace period."
            )
        base = newest_manifest(lake)
        forgotten = forgettable(base, present=present_files(lake), now_ms=now_ms, grace_ms=settings.grace_ms)
        if publish_manifest(lake, next_manifest(base, change, now_ms=now_ms, forgotten=forgotten)):
            return
    raise LakeError(f"{_TRIES} other compactions of {lake} were faster. Run one at a time.")


def _expire(lake: Path, settings: CompactionSettings, report: CompactionReport, *, now_ms: int) -> None:
    kept_from_hour = settings.retention.kept_from_hour(now_ms=now_ms)
    for _ in range(_TRIES):
        expired = [
            file
            for file in newest_manifest(lake).files
            if file.table in kept_from_hour and file.hour < kept_from_hour[file.table]
        ]
        if not expired:
            return
        change = Change(removed=frozenset(file.path for file in expired), kept_from_hour=kept_from_hour)
        try:
            _publish(lake, change, settings, clock_ms=lambda: now_ms, started_ms=now_ms)
        except CompactionConflictError:  # merged or dropped by another one: look again
            continue
        report.expired_files += len(expired)
        return


@contextlib.contextmanager
def _temporary_folder(lake: Path) -> Iterator[Path]:
    """Make a folder for what does not fit into memory: in the lake, whose disk is large, unlike many a /tmp."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=lake))
    except OSError as error:
        raise LakeError(f"can't write to {lake}: {error}. Check that the folder is writable.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
