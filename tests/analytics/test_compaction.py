"""Compaction, on real lakes: the same rows before and after, whatever happens in between."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.analytics.lake import stored_evaluations, stored_spans, write_evaluations, write_spans

from tracecanary.analytics.compaction import compact
from tracecanary.analytics.config import CompactionSettings, Retention
from tracecanary.analytics.store import Store
from tracecanary.schema import (
    SCHEMA_VERSION,
    Change,
    ConfigurationError,
    LakeError,
    LakeTable,
    Manifest,
    StoreError,
    lake_storage,
    list_lake_files,
    manifest_name,
    newest_manifest,
    next_manifest,
    publish_manifest,
)

HOUR_NS = 3_600 * 10**9
HOUR_MS = 3_600_000
# An hour after everything that the tests write.
NOW_MS = 1_000 * HOUR_MS
PATIENT = CompactionSettings()
# Merges every hour that is over, and deletes at once what is no longer listed.
EAGER = CompactionSettings(settle_s=0, grace_s=0)
NOTHING = Change()


def run(lake: Path, settings: CompactionSettings = PATIENT, *, now_ms: int = NOW_MS) -> Any:
    return compact(lake, settings, clock_ms=lambda: now_ms)


def span(trace: str, hour: int = 1, **values: Any) -> dict[str, Any]:
    return {"trace_id": trace, "span_id": "a", "start_unix_ns": hour * HOUR_NS + 5, **values}


def spans_on_disk(lake: Path) -> list[Path]:
    return sorted((lake / "compacted" / "spans").rglob("*.parquet"))


def test_segments_become_one_file_an_hour_sorted_by_trace(tmp_path: Path) -> None:
    write_spans(tmp_path, [span("t3"), span("t4", 2), span("t2")])
    write_spans(tmp_path, [span("t1"), span("t0", 2)])

    report = run(tmp_path)

    files = list_lake_files(tmp_path)
    assert files.landing == {LakeTable.SPANS: (), LakeTable.EVALUATIONS: ()}
    assert (report.adopted_files, report.adopted_rows, report.written_files) == (2, 5, 2)
    first, second = files.manifest.files
    assert (first.hour, first.rows, first.min_unix_ns, first.max_unix_ns) == (1, 3, HOUR_NS + 5, HOUR_NS + 5)
    assert (second.hour, second.rows, second.schema_version) == (2, 2, SCHEMA_VERSION)
    assert first.path.startswith("compacted/spans/hour=1970-01-01T01/")
    assert pq.read_table(tmp_path / first.path)["trace_id"].to_pylist() == ["t1", "t2", "t3"]
    assert (tmp_path / first.path).stat().st_size == first.size_bytes


def test_compacted_file_has_the_columns_of_its_segments_and_no_other(tmp_path: Path) -> None:
    segment = write_spans(tmp_path, [span("t1", attributes={"a": "b"}, input_tokens=7)])
    before = pq.read_table(segment)

    run(tmp_path)

    (after,) = spans_on_disk(tmp_path)
    assert pq.read_table(after).equals(before)
    assert pq.read_schema(after).equals(before.schema, check_metadata=True)


def test_a_column_that_only_a_newer_writer_knows_survives(tmp_path: Path) -> None:
    segment = write_spans(tmp_path, [span("new")])
    pq.write_table(pq.read_table(segment).append_column("later", pa.array([42])), segment)
    write_spans(tmp_path, [span("old")])

    run(tmp_path)

    (file,) = spans_on_disk(tmp_path)
    assert pq.read_table(file).select(["trace_id", "later"]).to_pylist() == [
        {"trace_id": "new", "later": 42},
        {"trace_id": "old", "later": None},
    ]


def test_duplicates_go_and_the_one_that_readers_saw_stays(tmp_path: Path) -> None:
    write_spans(tmp_path, [span("t1", model="base", attributes={"a": "1"})])
    write_spans(tmp_path, [span("t1", model="base", attributes={"a": "1", "b": "2"}), span("t1", attributes={})])
    before = stored_spans(tmp_path)

    report = run(tmp_path)

    assert report.adopted_rows == 1
    assert stored_spans(tmp_path) == before
    assert [row["attributes"] for row in before] == [{"a": "1", "b": "2"}]


def test_the_newest_evaluation_stays_with_all_its_columns(tmp_path: Path) -> None:
    judged = {"trace_id": "t1", "name": "reward"}
    write_evaluations(tmp_path, [{**judged, "passed": True, "received_unix_ns": 2, "explanation": "why"}])
    write_evaluations(tmp_path, [{**judged, "passed": False, "received_unix_ns": 1}])
    before = stored_evaluations(tmp_path)

    run(tmp_path)

    (file,) = (tmp_path / "compacted" / "evaluations").rglob("*.parquet")
    (row,) = pq.read_table(file).to_pylist()
    assert (row["passed"], row["explanation"], row["received_unix_ns"]) == (True, "why", 2)
    assert stored_evaluations(tmp_path) == before


def test_late_span_goes_to_its_own_hour_and_waits_there(tmp_path: Path) -> None:
    write_spans(tmp_path, [span(f"t{number}") for number in range(9)])
    run(tmp_path, now_ms=NOW_MS)
    write_spans(tmp_path, [span("late")])

    soon = run(tmp_path, now_ms=NOW_MS)
    later = run(tmp_path, now_ms=NOW_MS + HOUR_MS)

    assert (soon.adopted_files, soon.merged_files) == (1, 0)
    assert (later.adopted_files, later.merged_files, later.written_files) == (0, 2, 1)
    assert [file.rows for file in newest_manifest(lake_storage(tmp_path)).files] == [10]


def test_an_hour_that_fills_is_merged_when_it_has_many_files(tmp_path: Path) -> None:
    filling_ms = HOUR_MS + 1
    for number in range(9):
        write_spans(tmp_path, [span(f"t{number}")])
        report = run(tmp_path, now_ms=filling_ms)
        assert report.merged_files == (9 if number == 8 else 0)

    assert [file.rows for file in newest_manifest(lake_storage(tmp_path)).files] == [9]


def test_files_of_the_target_size_are_not_rewritten(tmp_path: Path) -> None:
    settings = CompactionSettings(settle_s=0, target_bytes=1)
    write_spans(tmp_path, [span("t1")])
    run(tmp_path, settings)
    write_spans(tmp_path, [span("t2")])

    report = run(tmp_path, settings)

    assert (report.adopted_files, report.merged_files) == (1, 0)
    assert len(stored_spans(tmp_path)) == 2


def test_large_backlog_is_adopted_in_bounded_batches(tmp_path: Path) -> None:
    for number in range(7):
        write_spans(tmp_path, [span(f"t{number}")])

    report = run(tmp_path, CompactionSettings(max_batch_files=3))

    assert (report.adopted_files, report.written_files) == (7, 3)
    assert len(stored_spans(tmp_path)) == 7


def test_compacting_an_idle_lake_changes_nothing(tmp_path: Path) -> None:
    write_spans(tmp_path, [span("t1")])
    run(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    report = run(tmp_path)

    assert sorted(tmp_path.rglob("*")) == before
    assert (report.adopted_files, report.written_files, report.deleted_files) == (0, 0, 0)


def test_adopted_segments_are_deleted_after_the_grace_period(tmp_path: Path) -> None:
    segment = write_spans(tmp_path, [span("t1")])
    run(tmp_path, now_ms=NOW_MS)

    run(tmp_path, now_ms=NOW_MS + PATIENT.grace_ms - 1)
    assert segment.exists()
    report = run(tmp_path, now_ms=NOW_MS + PATIENT.grace_ms)

    assert report.deleted_files == 1
    assert not segment.exists()
    assert len(stored_spans(tmp_path)) == 1


def test_deleted_files_are_forgotten_only_when_no_list_can_name_them(tmp_path: Path) -> None:
    write_spans(tmp_path, [span("t1")])
    run(tmp_path, now_ms=NOW_MS)
    run(tmp_path, now_ms=NOW_MS + PATIENT.grace_ms)
    write_spans(tmp_path, [span("t2")])
    run(tmp_path, now_ms=NOW_MS + PATIENT.grace_ms)
    assert len(newest_manifest(lake_storage(tmp_path)).gone) == 2

    write_spans(tmp_path, [span("t3")])
    run(tmp_path, now_ms=NOW_MS + 2 * PATIENT.grace_ms)

    manifest = newest_manifest(lake_storage(tmp_path))
    gone = manifest.gone
    assert manifest.forgotten_through == 1
    assert [file.gone_unix_ms - NOW_MS for file in gone if "landing" in file.path] == [
        PATIENT.grace_ms,
        2 * PATIENT.grace_ms,
    ]


def test_what_a_killed_compaction_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    write_spans(tmp_path, [span("t1")])
    run(tmp_path)
    (listed,) = spans_on_disk(tmp_path)
    orphan = listed.with_name("orphan.parquet")
    orphan.write_bytes(listed.read_bytes())
    unfinished = (tmp_path / "manifests") / "1234.tmp"
    unfinished.write_text("{")
    spilled = tmp_path / ".compaction-1"
    spilled.mkdir()
    made_ms = orphan.stat().st_mtime_ns // 1_000_000

    run(tmp_path, now_ms=made_ms + 1)
    assert orphan.exists()
    run(tmp_path, now_ms=made_ms + 2 * PATIENT.grace_ms)

    assert spans_on_disk(tmp_path) == [listed]
    assert not unfinished.exists()
    assert not spilled.exists()


def test_nothing_is_deleted_while_a_listed_file_is_missing(tmp_path: Path) -> None:
    segment = write_spans(tmp_path, [span("t1")])
    run(tmp_path)
    (listed,) = spans_on_disk(tmp_path)
    listed.rename(tmp_path / "elsewhere")

    with pytest.raises(LakeError, match=r"files that the manifest 1 of .* lists are missing.*tracecanary doctor"):
        run(tmp_path, now_ms=NOW_MS + 2 * PATIENT.grace_ms)

    assert segment.exists()


def test_retention_drops_hours_of_each_table_separately(tmp_path: Path) -> None:
    settings = CompactionSettings(retention=Retention(spans_days=1), grace_s=0)
    write_spans(tmp_path, [span("old", 1), span("kept", 30)])
    write_evaluations(tmp_path, [{"trace_id": "old", "name": "reward", "received_unix_ns": HOUR_NS}])
    run(tmp_path, now_ms=24 * HOUR_MS)

    report = run(tmp_path, settings, now_ms=26 * HOUR_MS)

    assert (report.expired_files, report.deleted_files) == (1, 3)
    assert [row["trace_id"] for row in stored_spans(tmp_path)] == ["kept"]
    assert len(stored_evaluations(tmp_path)) == 1
    assert newest_manifest(lake_storage(tmp_path)).kept_from_hour == {LakeTable.SPANS: 2}


def test_late_span_older_than_the_retention_is_not_adopted(tmp_path: Path) -> None:
    write_spans(tmp_path, [span("old", 1)])

    run(tmp_path, CompactionSettings(retention=Retention(spans_days=1)))

    assert stored_spans(tmp_path) == []
    assert newest_manifest(lake_storage(tmp_path)).files == ()


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf")])
def test_retention_that_is_no_number_of_days_is_refused(days: float) -> None:
    with pytest.raises(ConfigurationError, match=r"spans_days is .* leave it out"):
        Retention(spans_days=days)


@pytest.mark.parametrize("kept", [0, 200], ids=["empty", "truncated"])
def test_damaged_segment_stays_and_the_others_are_compacted(tmp_path: Path, kept: int) -> None:
    damaged = write_spans(tmp_path, [span("t1")])
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:kept])
    write_spans(tmp_path, [span("t2")])

    report = run(tmp_path)

    assert list(report.skipped) == [damaged.relative_to(tmp_path).as_posix()]
    assert "is damaged" in report.skipped[damaged.relative_to(tmp_path).as_posix()]
    assert [file.name for file in list_lake_files(tmp_path).landing[LakeTable.SPANS]] == list(report.skipped)
    with pytest.raises(StoreError, match="Move it out of the lake"), Store(tmp_path).session():
        pass
    damaged.write_bytes(whole)
    assert [row["trace_id"] for row in stored_spans(tmp_path)] == ["t1", "t2"]
    assert not run(tmp_path).skipped


def test_segment_damaged_inside_is_skipped_too(tmp_path: Path) -> None:
    damaged = write_spans(tmp_path, [span(f"t{number}") for number in range(1000)])
    content = bytearray(damaged.read_bytes())
    content[4:400] = bytes(396)  # the footer is intact
    damaged.write_bytes(content)
    write_spans(tmp_path, [span("t2")])

    report = run(tmp_path)

    assert list(report.skipped) == [damaged.relative_to(tmp_path).as_posix()]
    assert (report.adopted_files, report.adopted_rows) == (1, 1)
    assert damaged.exists()


def test_segment_of_a_newer_schema_waits_for_an_upgrade(tmp_path: Path) -> None:
    newer = write_spans(tmp_path, [span("t1")])
    table = pq.read_table(newer)
    version = {"tracecanary.schema_version": str(SCHEMA_VERSION + 1)}
    pq.write_table(table.replace_schema_metadata(version), newer)

    report = run(tmp_path)

    assert "Upgrade tracecanary" in report.skipped[newer.relative_to(tmp_path).as_posix()]
    assert newer.exists()


def test_manifest_of_a_newer_format_is_refused_by_readers_and_compaction(tmp_path: Path) -> None:
    write_spans(tmp_path, [span("t1")])
    path = tmp_path / manifest_name(1)
    path.parent.mkdir()
    path.write_text('{"format": 2, "number": 1, "files": {}}')

    with pytest.raises(LakeError, match=r"0000000001.json of .*: it has format 2.*Upgrade tracecanary"):
        run(tmp_path)
    with pytest.raises(LakeError, match="Upgrade tracecanary"), Store(tmp_path).session():
        pass


def test_of_two_compactions_of_the_same_files_one_wins(tmp_path: Path) -> None:
    for number in range(30):
        write_spans(tmp_path, [span(f"t{number}", number % 3)])
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def work() -> None:
        start.wait()
        try:
            run(tmp_path, CompactionSettings(max_batch_files=2, settle_s=0))
        except BaseException as error:  # noqa: BLE001  shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    files = newest_manifest(lake_storage(tmp_path)).files
    assert [file.rows for file in files] == [10, 10, 10]
    assert sum(file.rows for file in files) == len(stored_spans(tmp_path)) == 30
    assert {path.relative_to(tmp_path).as_posix() for path in spans_on_disk(tmp_path)} >= {f.path for f in files}


def test_number_of_a_manifest_can_be_taken_once(tmp_path: Path) -> None:
    base = Manifest()

    taken = [
        publish_manifest(lake_storage(tmp_path), next_manifest(base, change, now_ms=0)) for change in (NOTHING, NOTHING)
    ]

    assert taken == [True, False]
    assert [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "manifests").iterdir()] == [manifest_name(1)]


def test_disk_that_is_full_loses_nothing_and_recovers(tmp_path: Path) -> None:
    write_spans(tmp_path, [span(f"t{n}", attributes={"a": os.urandom(64).hex()}) for n in range(500)])
    before = stored_spans(tmp_path)

    with files_no_larger_than(8_192), pytest.raises(LakeError, match="free space"):
        run(tmp_path)

    assert spans_on_disk(tmp_path) == []
    assert newest_manifest(lake_storage(tmp_path)).number == 0
    assert stored_spans(tmp_path) == before
    assert run(tmp_path).adopted_rows == 500
    assert stored_spans(tmp_path) == before


def test_reader_whose_files_were_deleted_meanwhile_looks_again(tmp_path: Path) -> None:
    calls = [span(f"t{number}", kind="llm", model=f"model {number}") for number in range(20)]
    write_spans(tmp_path, calls)
    store = Store(tmp_path)
    is_done, has_read = threading.Event(), threading.Event()

    def rewrite() -> None:
        for call in calls[:15]:
            write_spans(tmp_path, [call])
            run(tmp_path, EAGER)
            # Without a grace period, a compaction that never pauses may be faster than any reader.
            has_read.wait(10)
            has_read.clear()
        is_done.set()

    thread = threading.Thread(target=rewrite)
    thread.start()
    seen = set()
    while not is_done.is_set():
        with store.session() as session:
            seen.add(len(session.rows("arms_v1", {"arm_by": "model"})))
        has_read.set()
    thread.join()

    assert seen == {20}


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Let every write beyond `size_bytes` of a file fail, as on a full disk."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
