"""Journals of a service: in the lake's folder, or in the spool folder for a lake on an object store."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from tracecanary.collector.destinations import ObjectStoreDestination, journal_root
from tracecanary.collector.forks import ForkLocks
from tracecanary.collector.journal import Journal
from tracecanary.schema import (
    FileLake,
    LakeError,
    LakeTable,
    journal_folder,
    lake_storage,
    landing_name,
)


def intake_journal(lake: FileLake, table: LakeTable, *, max_file_rows: int, max_bytes: int) -> Journal:
    """Return a new journal of `table`, on this machine, whose rows are published to `lake`."""
    if isinstance(lake, Path):
        return Journal(lake, table, max_file_rows=max_file_rows, max_bytes=max_bytes, keeps_rows=True)
    destination = ObjectStoreDestination(lake, locks=ForkLocks())
    # Beside the spool of other processes: whoever comes next publishes what this one leaves.
    return Journal(
        journal_root(lake),
        table,
        max_file_rows=max_file_rows,
        max_bytes=max_bytes,
        publish=lambda rows, name: destination.publish(table, rows, name=name),
        keeps_rows=True,
    )


def check_writable(lake: FileLake) -> None:
    """Write a few bytes where segments and journals go, and take them away again.

    Raises:
        LakeError: They can't be written.
    """
    name = f"probe-{os.getpid()}-{time.time_ns()}"
    storage = lake_storage(lake)
    probe = f"{landing_name(LakeTable.SPANS)}/{name}"
    storage.publish(probe, bytes(4096), what="a probe")
    storage.delete(probe)
    folder = journal_folder(journal_root(lake), LakeTable.SPANS)
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as written:
            written.write(bytes(4096))
            os.fsync(written.fileno())
        path.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise LakeError(
            f"can't write to {folder}: {error}. Check that the folder is writable and has free space."
        ) from error
