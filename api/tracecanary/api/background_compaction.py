"""Compaction beside the service, in a thread: the engine and Parquet work without the interpreter's lock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tracecanary.analytics.compaction import CompactionReport, compact
from tracecanary.analytics.config import CompactionSettings, Retention
from tracecanary.api.repeated_work import repeating
from tracecanary.schema import FileLake, LakeError, StoreError

_logger = logging.getLogger(__name__)

# Takes what a compaction did, None for one that failed, and the seconds that it took.
Observe = Callable[[CompactionReport | None, float], None]


@contextmanager
def compacting(
    lake: FileLake,
    settings: CompactionSettings,
    *,
    after: threading.Event | None = None,
    observe: Observe = lambda _report, _seconds: None,
    before_expiry: Callable[[], object] = lambda: None,
    after_expiry: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Compact `lake` again and again, `settings.every_s` seconds apart, while the block runs; 0 turns it off.

    Args:
        lake: A folder, or an object store.
        settings: How.
        after: The first compaction waits for it.
        observe: Gets each outcome.
        before_expiry: Derives what is to outlive the rows that retention drops.
        after_expiry: Drops what was derived of such rows, too, wherever nobody else does.
    """
    if settings.every_s <= 0:
        if settings.retention != Retention():
            _logger.warning(
                "[retention] says how long rows are kept, but with every_s = 0 in [compaction] nothing expires: run "
                "tracecanary compact with this configuration from time to time"
            )
        yield
        return
    repeated = _RepeatedCompaction(lake, settings, observe, before_expiry, after_expiry)
    name = "tracecanary-compaction"
    with repeating(repeated.compact, name=name, every_s=settings.every_s, after=after, can_wait=True):
        yield


class _RepeatedCompaction:
    """Remembers what went wrong last: it is logged once, and so is that it works again."""

    def __init__(
        self,
        lake: FileLake,
        settings: CompactionSettings,
        observe: Observe,
        before_expiry: Callable[[], object],
        after_expiry: Callable[[], object],
    ) -> None:
        self._lake, self._settings, self._observe = lake, settings, observe
        self._before_expiry, self._after_expiry = before_expiry, after_expiry
        self._last_failure = ""

    def compact(self, has_ended: threading.Event) -> None:
        report: CompactionReport | None = None
        begun_s = time.perf_counter()
        try:
            report = compact(
                self._lake, self._settings, should_stop=has_ended.is_set, before_expiry=self._before_expiry
            )
            _log(report)
            self._after_expiry()
            self._note("; ".join(sorted(report.skipped.values())))
        except (LakeError, StoreError) as error:
            self._note(str(error))
        except Exception as error:
            # Whatever it is, the service goes on, and so does the next compaction.
            _logger.exception("compaction failed; it is tried again")
            self._last_failure = str(error)
        self._observe(report, time.perf_counter() - begun_s)

    def _note(self, failure: str) -> None:
        if failure and failure != self._last_failure:
            _logger.warning("compaction: %s", failure)
        elif self._last_failure and not failure:
            _logger.info("compaction of %s works again", self._lake)
        self._last_failure = failure


def _log(report: CompactionReport) -> None:
    if report.written_files or report.expired_files or report.deleted_files:
        _logger.info(
            "compaction: adopted %d segments, merged %d files, wrote %d, expired %d, deleted %d",
            report.adopted_files,
            report.merged_files,
            report.written_files,
            report.expired_files,
            report.deleted_files,
        )
