import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.collector.remote import wait_until

from tracecanary.collector.journal import Journal, publish_orphans
from tracecanary.collector.journal_files import JournalFile, claimed, read_journal
from tracecanary.schema import LakeError, LakeTable, journal_folder, landing_segments

SCHEMA = pa.table({"id": [0], "text": [""]}).schema.with_metadata({"version": "1"})
TABLE = LakeTable.SPANS


def table(*ids: int) -> pa.Table:
    return pa.table({"id": list(ids), "text": [f"text {one}" for one in ids]}, schema=SCHEMA)


def journal(lake: Path, *, max_file_rows: int = 1_000, max_bytes: int = 1_000_000) -> Journal:
    return Journal(lake, TABLE, max_file_rows=max_file_rows, max_bytes=max_bytes)


def published(lake: Path) -> list[int]:
    segments = landing_segments(lake, TABLE)
    return sorted(int(row["id"]) for path in segments for row in pq.read_table(path).to_pylist())


def files(lake: Path) -> list[Path]:
    folder = journal_folder(lake, TABLE)
    return sorted(folder.iterdir()) if folder.is_dir() else []


def ids(path: Path) -> list[int]:
    rows = read_journal(path).rows
    return [] if rows is None else [int(row["id"]) for row in rows.to_pylist()]


def orphan(lake: Path, *appends: pa.Table) -> Path:
    """A journal as a process leaves it that is killed."""
    file = JournalFile(journal_folder(lake, TABLE), SCHEMA)
    for rows in appends:
        file.append(rows)
    file.close()
    return file.path


def test_what_is_journaled_is_on_disk_and_not_in_the_lake(tmp_path: Path) -> None:
    waiting = journal(tmp_path)

    waiting.append(table(1, 2))
    waiting.append(table(3))

    assert waiting.rows == 3
    assert [ids(path) for path in files(tmp_path)] == [[1, 2, 3]]
    assert published(tmp_path) == []


def test_publishing_moves_the_journal_and_what_is_given_with_it_into_one_segment(tmp_path: Path) -> None:
    waiting = journal(tmp_path)
    waiting.append(table(1, 2))

    waiting.publish(table(3))

    assert len(landing_segments(tmp_path, TABLE)) == 1
    assert pq.read_table(landing_segments(tmp_path, TABLE)[0]).equals(table(1, 2, 3))
    assert pq.read_schema(landing_segments(tmp_path, TABLE)[0]).metadata[b"version"] == b"1"
    assert files(tmp_path) == []
    assert waiting.rows == 0


def test_no_segment_has_more_rows_than_a_file_may_have(tmp_path: Path) -> None:
    waiting = journal(tmp_path, max_file_rows=2)
    for one in range(3):
        waiting.append(table(one))

    waiting.publish(table(3, 4))

    assert published(tmp_path) == [0, 1, 2, 3, 4]
    assert max(pq.read_metadata(path).num_rows for path in landing_segments(tmp_path, TABLE)) == 2


def test_rows_go_where_a_journal_is_told_with_those_given(tmp_path: Path) -> None:
    given: list[tuple[list[int], bool]] = []

    def take(rows: pa.Table, name: str | None) -> None:
        given.append(([int(row["id"]) for row in rows.to_pylist()], name is not None))

    elsewhere = Journal(tmp_path, TABLE, max_file_rows=2, max_bytes=1_000_000, publish=take)
    elsewhere.append(table(1))
    elsewhere.publish(table(2))
    elsewhere.publish(table(3))

    assert given == [([1, 2], True), ([3], False)]
    assert (published(tmp_path), files(tmp_path)) == ([], [])


def test_publishing_nothing_makes_no_segment(tmp_path: Path) -> None:
    journal(tmp_path).publish()
    journal(tmp_path).publish(table())

    assert landing_segments(tmp_path, TABLE) == []


def test_a_lake_that_cannot_be_written_leaves_everything_in_the_journal(tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("a file where the folder should be")
    waiting = journal(tmp_path)
    waiting.append(table(1))

    with pytest.raises(LakeError, match="can't write 2 rows"):
        waiting.publish(table(2))
    with pytest.raises(LakeError):
        waiting.publish()

    assert waiting.rows == 1
    (tmp_path / "landing").unlink()
    waiting.publish()
    assert published(tmp_path) == [1]


def test_rows_kept_in_memory_are_published_once_and_then_read_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("a file where the folder should be")
    kept = Journal(tmp_path, TABLE, max_file_rows=1_000, max_bytes=1_000_000, keeps_rows=True)
    kept.append(table(1, 2))
    kept.append(table(3))
    on_disk = [ids(path) for path in files(tmp_path)]

    with pytest.raises(LakeError):  # here they are let go of
        kept.publish()
    (tmp_path / "landing").unlink()
    kept.publish()

    assert on_disk == [[1, 2, 3]]
    assert published(tmp_path) == [1, 2, 3]
    assert files(tmp_path) == []


def test_rows_kept_in_memory_need_no_reading_of_the_file(tmp_path: Path) -> None:
    kept = Journal(tmp_path, TABLE, max_file_rows=1_000, max_bytes=1_000_000, keeps_rows=True)
    kept.append(table(1, 2))
    os.truncate(files(tmp_path)[0], 0)

    kept.publish()

    assert published(tmp_path) == [1, 2]
    assert files(tmp_path) == []


def test_a_journal_that_is_full_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    waiting = journal(tmp_path, max_bytes=1)
    waiting.append(table(1))

    with pytest.raises(LakeError, match=r"is full: \d+ bytes wait for the lake"):
        waiting.append(table(2))

    waiting.publish()
    assert published(tmp_path) == [1]


def test_rows_after_a_failed_write_can_be_read(tmp_path: Path) -> None:
    waiting = journal(tmp_path)
    waiting.append(table(1))
    size = files(tmp_path)[0].stat().st_size
    large = pa.table({"id": [2], "text": [os.urandom(100_000).hex()]}, schema=SCHEMA)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, limits[1]))
    try:
        with pytest.raises(
            LakeError, match=r"can't write the journal .*Check that the folder is writable and has free"
        ):
            waiting.append(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    waiting.append(table(3))

    assert ids(files(tmp_path)[0]) == [1, 3]
    waiting.publish()
    assert published(tmp_path) == [1, 3]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux to find the descriptor")
def test_a_file_whose_end_is_unknown_takes_no_more_rows(tmp_path: Path) -> None:
    waiting = journal(tmp_path)
    waiting.append(table(1))
    path = files(tmp_path)[0]
    descriptor = next(int(one.name) for one in Path("/proc/self/fd").iterdir() if one.resolve() == path)
    read_only = os.open(path, os.O_RDONLY)  # neither to be written nor cut back to what was acknowledged
    os.dup2(read_only, descriptor)
    os.close(read_only)
    with pytest.raises(LakeError, match="can't write the journal"):
        waiting.append(table(2))

    waiting.append(table(3))

    assert [ids(one) for one in files(tmp_path)] == [[1], [3]]
    waiting.publish()
    assert published(tmp_path) == [1, 3]


def test_closing_twice_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    file = JournalFile(journal_folder(tmp_path, TABLE), SCHEMA)
    file.close()
    with (tmp_path / "others").open("w") as others:  # gets the number of the descriptor that is free again
        file.close()

        others.write("still open")

    assert (tmp_path / "others").read_text() == "still open"
    with pytest.raises(LakeError, match="it is closed"):
        file.append(table(1))


def test_a_journal_that_somebody_removes_is_published_all_the_same(tmp_path: Path) -> None:
    waiting = journal(tmp_path, max_file_rows=2)
    waiting.append(table(1, 2))
    waiting.append(table(3))
    shutil.rmtree(tmp_path / "journal")
    waiting.append(table(4))

    waiting.publish()

    assert published(tmp_path) == [1, 2, 3, 4]
    waiting.append(table(5))
    waiting.publish()
    assert published(tmp_path) == [1, 2, 3, 4, 5]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")

    with pytest.raises(LakeError, match="can't write the journal"):
        journal(tmp_path).append(table(1))


@pytest.mark.parametrize("kept_bytes", range(0, 60, 7))
def test_a_torn_tail_costs_only_the_append_that_was_not_acknowledged(tmp_path: Path, kept_bytes: int) -> None:
    path = orphan(tmp_path, table(1, 2))
    whole = path.read_bytes()
    path.unlink()
    torn = orphan(tmp_path, table(1, 2), table(3))
    contents = torn.read_bytes()
    torn.write_bytes(contents[: len(whole) + kept_bytes])

    assert publish_orphans(tmp_path) == 2

    assert published(tmp_path) == [1, 2]
    assert files(tmp_path) == []


def test_a_journal_whose_writer_was_killed_as_it_began_is_removed(tmp_path: Path) -> None:
    path = orphan(tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    (journal_folder(tmp_path, TABLE) / "0.arrows").touch()

    assert publish_orphans(tmp_path) == 0

    assert files(tmp_path) == []


def test_a_damaged_journal_gives_what_stands_before_the_damage_and_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = orphan(tmp_path, table(1), table(2))
    contents = bytearray(path.read_bytes())
    contents[-5] ^= 1
    path.write_bytes(contents)

    assert publish_orphans(tmp_path) == 1

    assert published(tmp_path) == [1]
    assert files(tmp_path) == [path.with_suffix(".damaged")]
    assert f"It is kept: {path.with_suffix('.damaged')}" in caplog.text
    assert publish_orphans(tmp_path) == 0, "it is not tried for ever"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"what", id="text"),
        # Arrow raises an OSError for these, and for the one above an error of its own.
        pytest.param(b"\xff\xff\xff\xff\x10\0\0\0" + 16 * b"a", id="no-message"),
        pytest.param(pa.record_batch({"id": [1]}).serialize().to_pybytes(), id="rows-without-a-schema"),
    ],
)
def test_a_file_that_is_no_journal_is_kept_and_keeps_no_other_waiting(tmp_path: Path, payload: bytes) -> None:
    folder = journal_folder(tmp_path, TABLE)
    folder.mkdir(parents=True)
    (folder / "0.arrows").write_bytes(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    orphan(tmp_path, table(1))

    assert publish_orphans(tmp_path) == 1

    assert [path.name for path in files(tmp_path)] == ["0.damaged"]


def test_a_journal_in_use_is_no_orphan(tmp_path: Path) -> None:
    waiting = journal(tmp_path)
    waiting.append(table(1))

    assert publish_orphans(tmp_path) == 0

    waiting.append(table(2))
    waiting.publish()
    assert published(tmp_path) == [1, 2]


def test_only_one_of_two_recoverers_gets_a_journal(tmp_path: Path) -> None:
    path = orphan(tmp_path, table(1))

    with claimed(path) as first, claimed(path) as second:
        assert (first, second) == (True, False)
        assert publish_orphans(tmp_path) == 0

    assert publish_orphans(tmp_path) == 1


def test_orphans_of_a_lake_that_cannot_be_written_wait(tmp_path: Path) -> None:
    orphan(tmp_path, table(1))
    (tmp_path / "landing").write_text("a file where the folder should be")

    with pytest.raises(LakeError):
        publish_orphans(tmp_path)

    (tmp_path / "landing").unlink()
    assert publish_orphans(tmp_path) == 1
    assert published(tmp_path) == [1]


def test_a_forked_child_that_lets_go_leaves_the_journal_to_its_parent(tmp_path: Path) -> None:
    waiting = journal(tmp_path)
    waiting.append(table(1))
    child = os.fork()
    if child == 0:
        waiting.close()
        os._exit(publish_orphans(tmp_path))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    waiting.append(table(2))
    waiting.publish()
    assert published(tmp_path) == [1, 2]


_KILLED = """
import os, pathlib, signal, sys
from opentelemetry.sdk.trace import TracerProvider
from tracecanary.collector import CanarySpanProcessor
from tracecanary.collector.journal_files import read_journal
provider = TracerProvider()
provider.add_span_processor(CanarySpanProcessor(sys.argv[1], flush_interval_s=0.01, seal_interval_s=3600))
provider.get_tracer("test").start_span("journaled").end()
journal = pathlib.Path(sys.argv[1], "journal", "spans")
while not any(read_journal(path).rows for path in journal.glob("*")):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_processor_publishes_what_a_killed_process_left(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from tracecanary.collector import CanarySpanProcessor

    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert landing_segments(tmp_path, TABLE) == []
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(tmp_path))
    provider.get_tracer("test").start_span("later").end()

    assert provider.force_flush()

    names = {name for path in landing_segments(tmp_path, TABLE) for name in pq.read_table(path)["name"].to_pylist()}
    assert names == {"journaled", "later"}
    provider.shutdown()


def test_spans_are_journaled_every_flush_interval_and_visible_after_the_seal_interval(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from tracecanary.collector import CanarySpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(tmp_path, flush_interval_s=0.05, seal_interval_s=0.6))
    begun = time.monotonic()
    provider.get_tracer("test").start_span("seen later").end()
    deadline = begun + 30

    while not files(tmp_path):
        assert time.monotonic() < deadline
        assert not landing_segments(tmp_path, TABLE)
        time.sleep(0.001)
    while not landing_segments(tmp_path, TABLE):
        assert time.monotonic() < deadline
        time.sleep(0.001)

    assert time.monotonic() - begun > 0.3, "a segment for every flush"
    provider.shutdown()
    assert files(tmp_path) == []


def test_the_writer_survives_a_journal_that_it_cannot_read_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from tracecanary.collector import CanarySpanProcessor

    processor = CanarySpanProcessor(tmp_path, flush_interval_s=0.01, seal_interval_s=3600)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    provider.get_tracer("test").start_span("journaled").end()
    wait_until(lambda: any(read_journal(path).rows for path in files(tmp_path)))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyarrow", None)  # makes its import fail
        assert not processor.force_flush(timeout_millis=5_000)

    assert processor.force_flush()

    assert [pq.read_table(path).num_rows for path in landing_segments(tmp_path, TABLE)] == [1]
    assert processor.shutdown()


@pytest.mark.parametrize("deleted", ["file", "folder"])
def test_rows_of_a_journal_that_somebody_deletes_are_published(tmp_path: Path, deleted: str) -> None:
    waiting = journal(tmp_path)
    waiting.append(table(1, 2))
    if deleted == "file":
        files(tmp_path)[0].unlink()
    else:
        shutil.rmtree(tmp_path / "journal")

    waiting.append(table(3))
    on_disk = [ids(path) for path in files(tmp_path)]
    waiting.publish()

    assert on_disk == [[3]]  # a crash would have cost no more than what was deleted
    assert published(tmp_path) == [1, 2, 3]
    assert files(tmp_path) == []


def test_a_journal_that_somebody_cuts_off_while_it_is_in_use_is_damaged(tmp_path: Path) -> None:
    waiting = journal(tmp_path)
    waiting.append(table(1))
    whole_bytes = files(tmp_path)[0].stat().st_size
    waiting.append(table(2))
    os.truncate(files(tmp_path)[0], whole_bytes)

    waiting.publish()

    assert published(tmp_path) == [1]
    assert [path.suffix for path in files(tmp_path)] == [".damaged"]
