"""Where the rows of a journal go: one way each for an object store and a server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tracecanary.collector.config import CaptureSettings, spool_from_environment
from tracecanary.collector.forks import ForkLocks
from tracecanary.collector.journal import Journal, Publish, publish_orphans, publish_orphans_in
from tracecanary.collector.losses import Losses
from tracecanary.collector.remote_journal import RemoteJournal
from tracecanary.collector.segments import segment_contents
from tracecanary.schema import (
    FileLake,
    LakeTable,
    ObjectStoreLake,
    OtlpServer,
    journal_folder,
    lake_storage,
    landing_name,
    segment_name,
)
from tracecanary.schema.config import default_spool, folder_name
from tracecanary.schema.layout import SEGMENT_SUFFIX

if TYPE_CHECKING:
    import pyarrow as pa


class Destination(Protocol):
    """Where rows go. Any thread may use it."""

    def publish(self, table: LakeTable, rows: pa.Table, *, name: str | None) -> None:
        """Hand on `rows` of `table`; the same `name` stands for the same rows, None for none.

        Raises:
            LakeError: Not all were taken; handing them on again is safe.
        """


class ObjectStoreDestination:
    """Segments of a lake on an object store. A journal is one segment, however often its upload is tried."""

    def __init__(self, lake: ObjectStoreLake, *, locks: ForkLocks) -> None:
        self._lake, self._locks = lake, locks

    def publish(self, table: LakeTable, rows: pa.Table, *, name: str | None) -> None:
        """See `Destination`."""
        with self._locks.arrow:
            storage = lake_storage(self._lake)
            storage.connect()
            contents = segment_contents(rows)
        segment = f"{name}{SEGMENT_SUFFIX}" if name else segment_name(unix_ms=time.time_ns() // 1_000_000)
        with self._locks.network:
            storage.publish(f"{landing_name(table)}/{segment}", contents, what=f"{rows.num_rows} rows")


def open_journal(
    settings: CaptureSettings, table: LakeTable, losses: Losses, *, locks: ForkLocks
) -> Journal | RemoteJournal:
    """Return a new journal of `table` for the lake of `settings`; what a server refuses is counted in `losses`."""
    lake = settings.lake
    if isinstance(lake, Path):
        return Journal(lake, table, max_file_rows=settings.max_segment_spans, max_bytes=settings.max_journal_bytes)
    destination: Destination
    if isinstance(lake, ObjectStoreLake):
        destination = ObjectStoreDestination(lake, locks=locks)
    else:
        # Imported where it is used: an application that writes files needs no HTTP client.
        from tracecanary.collector.otlp_sender import OtlpSender

        destination = OtlpSender(
            lake,
            headers=settings.request_headers,
            timeout_s=settings.send_timeout_s,
            on_rejected=lambda spans: losses.add("rejected", spans),
            locks=locks,
        )
    return RemoteJournal(
        spool_of(lake, settings.spool),
        table,
        destination,
        max_file_rows=settings.max_segment_spans,
        max_bytes=settings.max_journal_bytes,
        locks=locks,
    )


def publish_left_rows(lake: FileLake) -> int:
    """Publish what processes of this machine that have died left in their journals; return the number of rows.

    Raises:
        LakeError: The lake can't be written; what is journaled stays so.
    """
    if isinstance(lake, Path):
        return publish_orphans(lake)
    spool = spool_of(lake, spool_from_environment())
    destination = ObjectStoreDestination(lake, locks=ForkLocks())

    def publish(table: LakeTable) -> Publish:
        return lambda rows, name: destination.publish(table, rows, name=name)

    return sum(publish_orphans_in(journal_folder(spool, table), publish(table)) for table in LakeTable)


def journal_root(lake: FileLake) -> Path:
    """Return the folder below which this machine's journals of `lake` stand."""
    return lake if isinstance(lake, Path) else spool_of(lake, spool_from_environment())


def spool_of(lake: ObjectStoreLake | OtlpServer, spool: Path | None) -> Path:
    """Return the local folder that holds the journals of a lake elsewhere."""
    return (spool or default_spool()) / folder_name(lake)
