"""Compaction beside the service, in a thread: the engine and Parquet work without the interpreter's lock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tracecanary.analytics.compaction import CompactionReport, compact
from tracecanary.analytics.config import CompactionSettings
from tracecanary.schema import FileLake, LakeError, StoreError

_logger = logging.getLogger(__name__)
# Between two of its steps; what it has not published by then is done again by the next one.
_STOP_LIMIT_S = 30.0


@contextmanager
def compacting(lake: FileLake, settings: CompactionSettings) -> Iterator[None]:
    """Compact `lake` now and every `settings.every_s` seconds while the block runs; 0 turns it off."""
    if settings.every_s <= 0:
        yield
        return
    has_ended = threading.Event()

    def repeat() -> None:
        last_failure = ""
        while not has_ended.is_set():
            last_failure = _compact_once(lake, settings, has_ended, last_failure)
            has_ended.wait(settings.every_s)

    thread = threading.Thread(target=repeat, name="tracecanary-compaction", daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join(_STOP_LIMIT_S)


def _compact_once(lake: FileLake, settings: CompactionSettings, has_ended: threading.Event, last_failure: str) -> str:
    """Compact; return what went wrong, which is logged when it is something new."""
    try:
        report = compact(lake, settings, should_stop=has_ended.is_set)
    except (LakeError, StoreError) as error:
        failure = str(error)
    except Exception as error:
        # Whatever it is, the service goes on, and so does the next compaction.
        _logger.exception("compaction failed; it is tried again")
        return str(error)
    else:
        _log(report)
        failure = "; ".join(sorted(report.skipped.values()))
    if failure and failure != last_failure:
        _logger.warning("compaction: %s", failure)
    elif last_failure and not failure:
        _logger.info("compaction of %s works again", lake)
    return failure


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
