"""Journals that become segments, while the lake can and can't be written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from tracecanary.collector.config import IntakeSettings
from tracecanary.collector.sealing import Sealer, TableJournal
from tracecanary.schema import (
    EVALUATION_COLUMNS,
    LakeTable,
    arrow_schema,
    journal_folder,
    landing_folder,
    landing_segments,
)

TABLE = LakeTable.EVALUATIONS
DEADLINE_S = 20.0
ROW = {"name": "a", "version": "1", "source": "code", "time_unix_ns": 1, "received_unix_ns": 1}
ONE_ROW = pa.Table.from_pylist([ROW], schema=arrow_schema(EVALUATION_COLUMNS))


@contextmanager
def unwritable(lake: Path) -> Iterator[None]:
    """Have a file stand where the folder of segments should be: root may write to any folder."""
    folder = landing_folder(lake, TABLE)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    try:
        yield
    finally:
        folder.unlink()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows_in(lake: Path) -> int:
    return sum(pa.parquet.read_metadata(path).num_rows for path in landing_segments(lake, TABLE))


def test_a_failed_journal_is_tried_again_though_new_ones_keep_coming(tmp_path: Path) -> None:
    sealer = Sealer()
    journal = TableJournal(tmp_path, TABLE, IntakeSettings(), sealer)
    has_ended = threading.Event()

    def keep_coming() -> None:  # much faster than a failed journal is tried again
        while not has_ended.wait(0.005):
            other.append(ONE_ROW)
            other.seal()

    other = TableJournal(tmp_path / "another", TABLE, IntakeSettings(), sealer)
    with unwritable(tmp_path):
        journal.append(ONE_ROW)
        journal.seal()
        wait_until(lambda: not sealer.is_publishing)
    thread = threading.Thread(target=keep_coming)
    thread.start()
    wait_until(lambda: rows_in(tmp_path) == 1)
    has_ended.set()
    thread.join()
    sealer.close(DEADLINE_S)

    assert sealer.waiting_rows == 0


def test_what_waits_for_the_lake_holds_few_files_open_and_tells_its_age(tmp_path: Path) -> None:
    sealer = Sealer()
    journal = TableJournal(tmp_path, TABLE, IntakeSettings(max_segment_rows=1_000), sealer)

    with unwritable(tmp_path):
        for _ in range(300):
            journal.append(ONE_ROW)
            journal.seal()
        files, age_s = len(list(journal_folder(tmp_path, TABLE).iterdir())), sealer.age_s
        waiting = sealer.waiting_rows + journal.rows
    wait_until(lambda: rows_in(tmp_path) == 300 - journal.rows)
    journal.seal(is_last=True)
    sealer.close(DEADLINE_S)

    assert (files, waiting) == (101, 300)
    assert age_s > 0
    assert (sealer.age_s, rows_in(tmp_path)) == (0.0, 300)
