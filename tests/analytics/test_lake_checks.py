"""What `doctor` finds in a lake, what it says to do, and whether that helps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.analytics.lake import stored_spans, write_spans

from tracecanary.analytics.compaction import compact
from tracecanary.analytics.config import CompactionSettings, wall_clock_ms
from tracecanary.analytics.lake_checks import LakeCheck, Severity, check_lake
from tracecanary.analytics.repair import Repair, repair
from tracecanary.analytics.store import Store
from tracecanary.schema import (
    SCHEMA_VERSION,
    LakeError,
    StoreError,
    lake_storage,
    manifest_name,
    newest_manifest,
)

HOUR_NS = 3_600 * 10**9
DAY_S = 86_400
SETTINGS = CompactionSettings()


def check(lake: Path, *, is_deep: bool = False, later_s: float = 0) -> LakeCheck:
    now_ms = wall_clock_ms() + round(later_s * 1000)
    return check_lake(lake, now_ms=now_ms, grace_ms=SETTINGS.grace_ms, is_deep=is_deep)


def found(lake: Path, **options: Any) -> list[tuple[str, str, str]]:
    return [(finding.severity.value, finding.subject, finding.problem) for finding in check(lake, **options).findings]


def span(trace: str, hour: int = 1) -> dict[str, Any]:
    return {"trace_id": trace, "span_id": "a", "start_unix_ns": hour * HOUR_NS}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a lake with two compacted hours and a new segment."""
    write_spans(tmp_path, [span("t1"), span("t2", 2)])
    compact(tmp_path, SETTINGS)
    write_spans(tmp_path, [span("t3")])
    return tmp_path


def compacted(lake: Path) -> Path:
    return lake / newest_manifest(lake_storage(lake)).files[0].path


def name(lake: Path, path: Path) -> str:
    return path.relative_to(lake).as_posix()


def test_sound_lake_is_counted(lake: Path) -> None:
    result = check(lake, is_deep=True)

    assert result.findings == ()
    assert (result.manifest, result.rows) == (1, {"spans": 3, "evaluations": 0})
    assert (result.files["spans"], result.segments["spans"]) == (2, 1)


def test_empty_lake_is_sound(tmp_path: Path) -> None:
    assert found(tmp_path) == []


def test_lost_file_is_an_error_and_repair_reads_what_it_was_made_from(lake: Path) -> None:
    lost = compacted(lake)
    lost.unlink()
    with pytest.raises(StoreError), Store(lake).session():
        pass

    (finding,) = check(lake).findings
    assert (finding.severity, finding.subject) == (Severity.ERROR, name(lake, lost))
    assert "tracecanary doctor --repair" in finding.remedy
    repaired = repair(lake)

    assert repaired.given_up == (name(lake, lost),)
    assert len(repaired.taken_back) == 1
    assert found(lake) == []
    assert [row["trace_id"] for row in stored_spans(lake)] == ["t1", "t2", "t3"]


def test_repair_takes_back_merged_files_too(lake: Path) -> None:
    compact(lake, SETTINGS)
    compact(lake, CompactionSettings(max_files_per_hour=1))
    merged = next(lake / file.path for file in newest_manifest(lake_storage(lake)).files if file.rows == 2)
    merged.unlink()

    repaired = repair(lake)

    assert [taken.split("/")[0] for taken in repaired.taken_back] == ["compacted", "compacted"]
    assert found(lake) == []
    assert [row["trace_id"] for row in stored_spans(lake)] == ["t1", "t2", "t3"]


def test_repair_gives_up_what_is_nowhere_any_more(lake: Path) -> None:
    compact(lake, CompactionSettings(grace_s=0))
    compacted(lake).unlink()

    repair(lake)

    assert [row["trace_id"] for row in stored_spans(lake)] == ["t2", "t3"]
    assert repair(lake) == Repair()


@pytest.mark.parametrize("kept", [0, 300], ids=["empty", "truncated"])
@pytest.mark.parametrize("is_listed", [True, False], ids=["compacted", "segment"])
def test_damaged_file_is_an_error(lake: Path, kept: int, is_listed: bool) -> None:
    path = compacted(lake) if is_listed else next((lake / "landing" / "spans").glob("*"))
    if not is_listed:
        path = max((lake / "landing" / "spans").glob("*"))
    path.write_bytes(path.read_bytes()[:kept])

    (finding,) = check(lake).findings

    assert (finding.severity, finding.subject) == (Severity.ERROR, name(lake, path))
    assert "is damaged" in finding.problem
    assert "move it out of the lake" in finding.remedy
    path.unlink()
    if is_listed:
        repair(lake)
    assert found(lake) == []


def test_damage_inside_is_found_by_reading_all(lake: Path) -> None:
    path = write_spans(lake, [span(f"t{number}") for number in range(1000)])
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)

    assert found(lake) == []
    assert [subject for _, subject, _ in found(lake, is_deep=True)] == [name(lake, path)]


def test_file_that_was_changed_is_an_error(lake: Path) -> None:
    path = compacted(lake)
    pq.write_table(pq.read_table(path).slice(0, 0), path)

    problems = [problem for _, _, problem in found(lake)]

    assert "it has 0 rows, but the manifest says 1: something has changed it" in problems


def test_newer_schema_and_newer_manifest_want_an_upgrade(lake: Path) -> None:
    path = max((lake / "landing" / "spans").glob("*"))
    version = {"tracecanary.schema_version": str(SCHEMA_VERSION + 1)}
    pq.write_table(pq.read_table(path).replace_schema_metadata(version), path)
    assert "Upgrade tracecanary" in found(lake)[0][2]

    (lake / manifest_name(2)).write_text('{"format": 99}')

    ((severity, subject, problem),) = found(lake)
    assert (severity, subject) == ("error", manifest_name(2))
    assert "Upgrade tracecanary" in problem


def test_damaged_manifest_names_the_one_before(lake: Path) -> None:
    compact(lake, SETTINGS)
    damaged = lake / manifest_name(2)
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(LakeError, match="tracecanary doctor says what to do"), Store(lake).session():
        pass

    (finding,) = check(lake).findings
    assert manifest_name(1) in finding.remedy
    damaged.unlink()

    assert [row["trace_id"] for row in stored_spans(lake)] == ["t1", "t2", "t3"]


def test_what_nobody_needs_is_noted(lake: Path) -> None:
    orphan = compacted(lake).with_name("orphan.parquet")
    orphan.write_bytes(compacted(lake).read_bytes())
    unfinished = lake / "landing" / "spans" / "1.tmp"
    unfinished.write_bytes(b"PAR1")
    past = (wall_clock_ms() / 1000 - 2 * SETTINGS.grace_s,) * 2
    os.utime(unfinished, past)

    notes = found(lake, later_s=2 * SETTINGS.grace_s)

    assert {severity for severity, _, _ in notes} == {"note"}
    assert {subject for _, subject, _ in notes} >= {name(lake, orphan), "landing/spans/1.tmp"}


def test_segment_that_nobody_compacts_is_a_warning(lake: Path) -> None:
    warnings = [problem for severity, _, problem in found(lake, later_s=DAY_S + 60) if severity == "warning"]

    assert warnings == ["it has not been compacted for 24 hours"]


def test_hours_without_spans_are_noted(lake: Path) -> None:
    write_spans(lake, [span("t4", 12)])
    compact(lake, SETTINGS)

    assert found(lake) == [("note", "", "no span started in 9 hours from 1970-01-01T03 on")]
