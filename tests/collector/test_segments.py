from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tracecanary.collector.segments import storable_rows, write_segment
from tracecanary.schema import Column, ColumnType, LakeError, LakeTable, landing_folder, landing_segments

COLUMNS = (
    Column("name", ColumnType.STRING, "a name"),
    Column("size", ColumnType.INT, "a size"),
    Column("tags", ColumnType.STRING_MAP, "tags"),
)
ROWS = [(f"row {number}", number, [("a", "b")]) for number in range(1_000)]


def test_segment_holds_the_rows_and_the_schema_version(lake: Path) -> None:
    path = write_segment(lake, LakeTable.SPANS, COLUMNS, ROWS)

    table = pq.read_table(path)
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    assert (table.schema.metadata or {})[b"tracecanary.schema_version"] == b"1"
    assert landing_segments(lake, LakeTable.SPANS) == [path]


def test_readers_only_ever_see_complete_segments(lake: Path) -> None:
    is_done = threading.Event()

    def write() -> None:
        for _ in range(30):
            write_segment(lake, LakeTable.SPANS, COLUMNS, ROWS)
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen: set[Path] = set()
    while not is_done.is_set():
        for path in set(landing_segments(lake, LakeTable.SPANS)) - seen:
            assert pq.ParquetFile(path).metadata.num_rows == 1_000
            seen.add(path)
    writer.join()

    assert len(landing_segments(lake, LakeTable.SPANS)) == 30
    assert [path for path in landing_folder(lake, LakeTable.SPANS).iterdir() if path.suffix != ".parquet"] == []


@pytest.mark.parametrize("obstacle", ["lake", "lake/landing", "lake/landing/spans"])
def test_folder_that_cannot_be_made_is_a_lake_error(tmp_path: Path, lake: Path, obstacle: str) -> None:
    path = tmp_path / obstacle
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file where the folder should be")

    with pytest.raises(LakeError, match=r"can't write 1000 rows to .*landing/spans"):
        write_segment(lake, LakeTable.SPANS, COLUMNS, ROWS)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that even root can't write")
def test_folder_without_write_access_is_a_lake_error() -> None:
    with pytest.raises(LakeError, match="Check that the folder is writable"):
        write_segment(Path("/proc/self/lake"), LakeTable.SPANS, COLUMNS, ROWS)


def test_value_that_does_not_fit_adds_nothing(lake: Path) -> None:
    with pytest.raises(OverflowError):
        write_segment(lake, LakeTable.SPANS, COLUMNS, [*ROWS, ("large", 2**70, [])])

    assert not lake.exists()


def test_only_rows_that_do_not_fit_are_left_out() -> None:
    hostile = [("large", 2**70, []), ("\ud800", 1, []), (5, 1, []), ("map", 1, 7)]

    assert storable_rows(COLUMNS, [*hostile[:2], *ROWS, *hostile[2:]]) == ROWS
    assert storable_rows(COLUMNS, hostile) == []


def test_segment_names_carry_the_process_id(lake: Path) -> None:
    path = write_segment(lake, LakeTable.EVALUATIONS, COLUMNS, ROWS)

    assert path.parent == lake / "landing" / "evaluations"
    assert path.name.split("-")[1] == str(os.getpid())
