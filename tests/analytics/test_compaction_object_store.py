"""Compaction of a lake on an object store, as far as that differs from a folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.analytics.lake import write_spans
from tests.object_store import ObjectStore

from tracecanary.analytics.compaction import compact
from tracecanary.analytics.config import CompactionSettings, Retention, wall_clock_ms
from tracecanary.analytics.lake_checks import Severity, check_lake
from tracecanary.analytics.repair import repair
from tracecanary.schema import (
    FileLake,
    LakeError,
    LakeTable,
    lake_storage,
    landing_name,
    list_lake_files,
    local_copies,
    newest_manifest,
    parse_file_lake,
    segment_name,
)

HOUR_NS = 3_600 * 10**9
EAGER = CompactionSettings(settle_s=0, grace_s=0, max_files_per_hour=1)


@pytest.fixture
def remote_lake(object_store: ObjectStore) -> FileLake:
    return parse_file_lake(object_store.new_lake())


def upload(lake: FileLake, folder: Path, spans: list[dict[str, Any]]) -> None:
    name = f"{landing_name(LakeTable.SPANS)}/{segment_name(unix_ms=wall_clock_ms())}"
    lake_storage(lake).publish(name, write_spans(folder, spans).read_bytes())


def span(number: int) -> dict[str, Any]:
    return {"trace_id": f"t{number:02d}", "span_id": "a", "start_unix_ns": number % 2 * HOUR_NS}


def stored(lake: FileLake) -> list[str]:
    names = list_lake_files(lake).names(LakeTable.SPANS)
    with_paths = local_copies(lake).lease(names)
    return sorted(
        str(trace) for path in with_paths.paths for trace in pq.ParquetFile(path).read()["trace_id"].to_pylist()
    )


def test_segments_become_files_of_an_hour_and_are_deleted(remote_lake: FileLake, tmp_path: Path) -> None:
    for number in range(4):
        upload(remote_lake, tmp_path, [span(number), span(number + 1)])

    report = compact(remote_lake, EAGER)

    assert (report.adopted_files, report.adopted_rows, report.deleted_files) == (4, 5, 4)
    assert stored(remote_lake) == ["t00", "t01", "t02", "t03", "t04"]
    assert [file.rows for file in newest_manifest(lake_storage(remote_lake)).files] == [3, 2]
    assert lake_storage(remote_lake).files(landing_name(LakeTable.SPANS)) == []
    assert check_lake(remote_lake, now_ms=wall_clock_ms(), grace_ms=0).findings == ()


def test_of_two_compactions_one_wins_and_nothing_is_lost(remote_lake: FileLake, tmp_path: Path) -> None:
    for number in range(8):
        upload(remote_lake, tmp_path, [span(number)])
    failures: list[BaseException] = []
    settings = CompactionSettings(settle_s=0, max_batch_files=2)

    def work() -> None:
        try:
            compact(remote_lake, settings)
        except BaseException as error:  # noqa: BLE001  shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert stored(remote_lake) == [f"t{number:02d}" for number in range(8)]


def test_lost_object_is_found_and_repaired(remote_lake: FileLake, tmp_path: Path) -> None:
    upload(remote_lake, tmp_path, [span(0), span(1)])
    compact(remote_lake, CompactionSettings())
    storage = lake_storage(remote_lake)
    lost = newest_manifest(storage).files[0].path
    storage.delete(lost)

    found = check_lake(remote_lake, now_ms=wall_clock_ms(), grace_ms=3_600_000).findings
    repair(remote_lake)

    assert [finding.subject for finding in found] == [lost]
    assert set(stored(remote_lake)) == {"t00", "t01"}


def test_store_out_of_reach_is_said_and_compaction_works_again_later(
    remote_lake: FileLake, object_store: ObjectStore, tmp_path: Path
) -> None:
    upload(remote_lake, tmp_path, [span(0)])

    object_store.stop()
    try:
        with pytest.raises(LakeError, match="endpoint_override and the network"):
            compact(remote_lake, EAGER)
    finally:
        object_store.start()

    assert compact(remote_lake, EAGER).adopted_rows == 1


def test_retention_drops_old_hours(remote_lake: FileLake, tmp_path: Path) -> None:
    kept_from_hour = 100 * 24
    upload(remote_lake, tmp_path, [span(0), {**span(1), "start_unix_ns": kept_from_hour * HOUR_NS}])
    compact(remote_lake, EAGER)

    now_ms = (kept_from_hour + 24) * 3_600_000
    settings = CompactionSettings(settle_s=0, grace_s=0, retention=Retention(spans_days=1))
    report = compact(remote_lake, settings, clock_ms=lambda: now_ms)

    assert report.expired_files == 1
    assert stored(remote_lake) == ["t01"]
    assert newest_manifest(lake_storage(remote_lake)).kept_from_hour == {LakeTable.SPANS: kept_from_hour}


def test_truncated_object_is_named_and_the_others_are_compacted(remote_lake: FileLake, tmp_path: Path) -> None:
    name = f"{landing_name(LakeTable.SPANS)}/{segment_name(unix_ms=wall_clock_ms())}"
    lake_storage(remote_lake).publish(name, write_spans(tmp_path, [span(0)]).read_bytes()[:100])
    upload(remote_lake, tmp_path, [span(1)])

    report = compact(remote_lake, EAGER)
    (finding,) = check_lake(remote_lake, now_ms=wall_clock_ms(), grace_ms=0).findings

    assert (report.adopted_files, list(report.skipped)) == (1, [name])
    assert (finding.subject, finding.severity) == (name, Severity.ERROR)
    assert "move it out of the lake" in finding.remedy
