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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tracecanary.analytics.compaction_files import remove_files, write_hours
from tracecanary.analytics.compaction_policy import files_to_merge, segments_to_adopt
from tracecanary.analytics.config import MS_PER_HOUR, CompactionSettings, Retention, wall_clock_ms
from tracecanary.analytics.engine import EngineLimits, compacted_rows
from tracecanary.analytics.parquet_files import check_segment, refuse_damaged_content
from tracecanary.analytics.sweep import TEMPORARY_PREFIX, present_files, sweep
from tracecanary.schema import (
    Change,
    CompactionConflictError,
    FileLake,
    LakeError,
    LakeFile,
    LakeFiles,
    LakeTable,
    Manifest,
    StoreError,
    forgettable,
    lake_storage,
    list_lake_files,
    local_copies,
    newest_manifest,
    next_manifest,
    publish_manifest,
)

_logger = logging.getLogger(__name__)

_HOURS_PER_DAY = 24
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
        skipped: Files that can't be rewritten: name below the lake, and reason.
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
    names: tuple[str, ...]
    is_adoption: bool


def compact(
    lake: FileLake,
    settings: CompactionSettings,
    *,
    clock_ms: Callable[[], int] = wall_clock_ms,
    should_stop: Callable[[], bool] = lambda: False,
    before_expiry: Callable[[], object] = lambda: None,
) -> CompactionReport:
    """Rewrite everything that is worth it, drop what retention no longer keeps, and delete what nobody needs.

    A damaged file is left where it is, and named in the report; everything else goes on. When `should_stop` tells so,
    the rest is left to the next compaction. Before retention drops anything, `before_expiry` may derive what is to
    outlive it; while it fails, everything is kept.

    Raises:
        LakeError: The lake can't be read or written. What was published until then stays; nothing is lost.
        StoreError: The engine failed, for instance because its memory did not suffice.
    """
    if settings.retention.kept_from_hour(now_ms=clock_ms()) and not _has_succeeded(before_expiry):
        settings = replace(settings, retention=Retention())
    compaction = _Compaction(lake, settings, clock_ms)
    with _temporary_folder(lake) as folder:
        while not should_stop() and compaction.take_step(folder):
            pass
    compaction.expire()
    compaction.report.deleted_files = sweep(lake, now_ms=clock_ms(), grace_ms=settings.grace_ms)
    return compaction.report


def _has_succeeded(before_expiry: Callable[[], object]) -> bool:
    try:
        before_expiry()
    except (LakeError, StoreError) as error:
        _logger.warning("nothing expires until what outlives it can be derived: %s", error)
        return False
    return True


class _Compaction:
    """One run over a lake."""

    def __init__(self, lake: FileLake, settings: CompactionSettings, clock_ms: Callable[[], int]) -> None:
        self._lake, self._settings, self._clock_ms = lake, settings, clock_ms
        self._storage = lake_storage(lake)
        self._copies = local_copies(lake)
        self.report = CompactionReport()

    def take_step(self, folder: Path) -> bool:
        """Rewrite some files, with `folder` for what is temporary; return whether there were any."""
        files = list_lake_files(self._lake)
        step = self._next_step(files)
        if step is None:
            return False
        started_ms = self._clock_ms()
        try:
            lease = self._copies.lease(step.names)
        except LakeError:
            if list_lake_files(self._lake) == files:
                raise
            return True  # rewritten and swept by another compaction since it was listed
        paths = self._readable(dict(zip(step.names, lease.paths, strict=True)))
        if paths:
            added = self._rewrite(step.table, paths, folder, now_ms=started_ms)
            if added is not None:
                self._finish(step, paths, added, started_ms=started_ms)
        return True

    def expire(self) -> None:
        """Stop listing the hours that retention no longer keeps."""
        now_ms = self._clock_ms()
        kept_from_hour = self._settings.retention.kept_from_hour(now_ms=now_ms)
        for _ in range(_TRIES):
            manifest = newest_manifest(self._storage)
            expired = [
                file
                for file in manifest.files
                if file.table in kept_from_hour and file.hour < kept_from_hour[file.table]
            ]
            if not expired and not self._may_facts_expire(manifest, kept_from_hour):
                return
            change = Change(removed=frozenset(file.path for file in expired), kept_from_hour=kept_from_hour)
            with contextlib.suppress(CompactionConflictError):  # merged or dropped by another one: look again
                self._publish(change, started_ms=now_ms)
                self.report.expired_files += len(expired)

    def _may_facts_expire(self, manifest: Manifest, kept_from_hour: Mapping[LakeTable, int]) -> bool:
        """Whether facts of another day may expire once it is known that their spans have: also where no spans come."""
        if self._settings.retention.facts_days is None or not manifest.number:
            return False
        told = manifest.kept_from_hour.get(LakeTable.SPANS, 0)
        return kept_from_hour[LakeTable.SPANS] // _HOURS_PER_DAY > told // _HOURS_PER_DAY

    def _next_step(self, files: LakeFiles) -> _Step | None:
        skipped = self.report.skipped
        for table, landing in files.landing.items():
            segments = segments_to_adopt([file for file in landing if file.name not in skipped], self._settings)
            if segments:
                return _Step(table=table, names=tuple(file.name for file in segments), is_adoption=True)
        usable = [file for file in files.manifest.files if file.path not in skipped]
        for group in files_to_merge(usable, self._settings, now_ms=self._clock_ms()):
            return _Step(table=group[0].table, names=tuple(file.path for file in group), is_adoption=False)
        return None

    def _readable(self, paths: Mapping[str, Path]) -> dict[str, Path]:
        readable = {}
        for name, path in paths.items():
            try:
                check_segment(path)
            except StoreError as error:
                self._skip(name, path, error)
            else:
                readable[name] = path
        return readable

    def _rewrite(
        self, table: LakeTable, paths: Mapping[str, Path], folder: Path, *, now_ms: int
    ) -> list[LakeFile] | None:
        """Return the new files; None when some of `paths` turned out to be damaged, and the others wait."""
        kept_from_hour = self._settings.retention.kept_from_hour(now_ms=now_ms).get(table)
        kept_from_unix_ns = -(2**63) if kept_from_hour is None else kept_from_hour * _NS_PER_HOUR
        limits = EngineLimits(
            memory_bytes=self._settings.memory_bytes, threads=self._settings.threads, spill_folder=folder
        )
        segments = list(paths.values())
        try:
            with compacted_rows(table, segments, kept_from_unix_ns=kept_from_unix_ns, limits=limits) as rows:
                return write_hours(self._storage, table, rows, folder=folder, clock_ms=self._clock_ms)
        except StoreError:
            if not self._skip_damaged(paths):
                raise
            return None

    def _skip_damaged(self, paths: Mapping[str, Path]) -> bool:
        """Note which of `paths` can't be read to their end; return whether there are any, or some have vanished."""
        has_found = False
        for name, path in paths.items():
            try:
                refuse_damaged_content([path])
            except StoreError as error:
                has_found = True
                self._skip(name, path, error)
        return has_found

    def _skip(self, name: str, path: Path, error: StoreError) -> None:
        if path.exists():  # else it was rewritten and swept by another compaction
            self.report.skipped[name] = str(error)

    def _finish(self, step: _Step, paths: Mapping[str, Path], added: list[LakeFile], *, started_ms: int) -> None:
        # Rows that are too old were not rewritten, so whoever derives from the lake has to know which.
        hours = self._settings.retention.kept_from_hour(now_ms=started_ms)
        kept_from_hour = {table: hour for table, hour in hours.items() if table is step.table}
        change = Change(added=tuple(added), removed=frozenset(paths), kept_from_hour=kept_from_hour)
        try:
            self._publish(change, started_ms=started_ms)
        except (CompactionConflictError, LakeError) as error:
            remove_files(self._storage, added)
            if isinstance(error, LakeError):
                raise
            self.report.conflicts += 1
            return
        self.report.written_files += len(added)
        if step.is_adoption:
            self.report.adopted_files += len(paths)
            self.report.adopted_rows += sum(file.rows for file in added)
        else:
            self.report.merged_files += len(paths)

    def _publish(self, change: Change, *, started_ms: int) -> None:
        grace_ms = self._settings.grace_ms
        for _ in range(_TRIES):
            now_ms = self._clock_ms()
            if change.added and now_ms - started_ms > grace_ms // 2 > 0:
                # Another sweep may soon take the new files for those of a process that was killed.
                raise LakeError(
                    f"rewriting {len(change.removed)} files took {(now_ms - started_ms) / 1000:.0f} s, more than half "
                    f"of the grace period of {grace_ms / 1000:.0f} s. Nothing was changed; set a longer grace period."
                )
            base = newest_manifest(self._storage)
            present = {file.name for file in present_files(self._storage)}
            forgotten = forgettable(base, present=present, now_ms=now_ms, grace_ms=grace_ms)
            if publish_manifest(self._storage, next_manifest(base, change, now_ms=now_ms, forgotten=forgotten)):
                return
        raise LakeError(f"{_TRIES} other compactions of {self._lake} were faster. Run one at a time.")


@contextlib.contextmanager
def _temporary_folder(lake: FileLake) -> Iterator[Path]:
    """Make a folder for what does not fit into memory: in a lake's folder, whose disk is large, unlike many a /tmp."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=lake if isinstance(lake, Path) else None))
    except OSError as error:
        raise LakeError(f"can't write to {lake}: {error}. Check that the folder is there and writable.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
