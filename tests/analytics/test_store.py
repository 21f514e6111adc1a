import resource
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.parquet_files import check_segment, refuse_damaged_content
from tracecanary.analytics.store import Session, Store
from tracecanary.schema import SCHEMA_VERSION, LakeError, LakeTable, StoreError, landing_folder

CALL = {"span_id": "a", "kind": "llm", "model": "base"}


def models(session: Session) -> list[str]:
    return [str(row["arm_name"]) for row in session.rows("arms_v1", {"arm_by": "model"})]


def test_lake_without_segments_has_no_rows(tmp_path: Path) -> None:
    with Store(tmp_path).session() as session:
        assert models(session) == []
        assert session.rows("models_v3") == []


def test_lake_whose_folder_is_gone_is_an_error_not_an_empty_lake(tmp_path: Path) -> None:
    lake = tmp_path / "absent"

    with pytest.raises(LakeError, match=r"there is no folder .*absent.*volume is mounted"), Store(lake).session():
        pass

    assert not lake.exists()


def test_lake_of_evaluations_alone_has_no_traces(tmp_path: Path) -> None:
    write_evaluations(tmp_path, [{"trace_id": "t1", "name": "reward", "passed": True}])

    with Store(tmp_path).session() as session:
        assert models(session) == []


def test_new_segment_is_seen_by_the_next_session_only(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    store = Store(tmp_path)

    with store.session() as before:
        write_spans(tmp_path, [{"trace_id": "t2", **CALL, "model": "candidate"}])
        with store.session() as after:
            assert models(after) == ["base", "candidate"]
        assert models(before) == ["base"]
        assert [row["model"] for row in before.rows("models_v3")] == ["base"]


def test_late_evaluation_is_seen_by_the_next_session(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    store = Store(tmp_path)
    with store.session() as session:
        assert session.rows("trace_evaluations_v1") == []

    write_evaluations(tmp_path, [{"trace_id": "t1", "name": "reward", "passed": False}])

    with store.session() as session:
        assert [row["has_failed"] for row in session.rows("trace_evaluations_v1")] == [True]


def test_sessions_do_not_share_their_tables(tmp_path: Path) -> None:
    store = Store(tmp_path)

    with store.session() as one, store.session() as other:
        one.materialise("mine", "arms_v1", {"arm_by": "model"})

        with pytest.raises(StoreError, match="question_keys"):
            other.rows("cohorts_v3", {"from_ns": 0, "to_ns": 1})


@pytest.mark.parametrize("kept", [0, 3, 200], ids=["empty", "four-bytes", "truncated"])
def test_damaged_segment_is_named_with_a_remedy(tmp_path: Path, kept: int) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    damaged = write_spans(tmp_path, [{"trace_id": "t2", **CALL}])
    damaged.write_bytes(damaged.read_bytes()[:kept])
    store = Store(tmp_path)

    with pytest.raises(StoreError, match="is damaged") as caught, store.session():
        pass

    assert str(damaged) in str(caught.value)
    assert "Move it out of the lake" in str(caught.value)
    assert "tracecanary doctor --repair" in str(caught.value)
    damaged.unlink()
    with store.session() as session:
        assert models(session) == ["base"]


def test_segment_damaged_inside_is_named_with_a_remedy(tmp_path: Path) -> None:
    damaged = write_spans(tmp_path, [{"trace_id": f"t{number}", **CALL} for number in range(1000)])
    content = bytearray(damaged.read_bytes())
    content[4:400] = bytes(396)  # the footer is intact
    damaged.write_bytes(content)

    with pytest.raises(StoreError) as caught, Store(tmp_path).session():
        pass

    assert damaged.name in str(caught.value)
    assert "out of the lake" in str(caught.value)


def test_missing_segment_is_called_missing_and_can_be_repaired(tmp_path: Path) -> None:
    missing = write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    missing.unlink()

    for read in (lambda: refuse_damaged_content([missing]), lambda: check_segment(missing)):
        with pytest.raises(StoreError, match=r"is missing\. .* tracecanary doctor --repair") as caught:
            read()

        assert str(caught.value).count(str(missing)) == 1


def test_segment_that_the_machine_can_not_open_is_not_called_damaged(tmp_path: Path) -> None:
    segment = write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    most, hardest = resource.getrlimit(resource.RLIMIT_NOFILE)

    for read in (lambda: refuse_damaged_content([segment]), lambda: check_segment(segment, is_seen_anew=True)):
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hardest))
        try:
            with pytest.raises(LakeError, match="Too many open files"):
                read()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hardest))


@pytest.mark.parametrize(
    ("version", "remedy"), [(str(SCHEMA_VERSION + 1), "Upgrade tracecanary"), ("new", "Move it out of the lake")]
)
def test_segment_of_another_schema_version_is_refused(tmp_path: Path, version: str, remedy: str) -> None:
    segment = write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    table = pq.read_table(segment)
    pq.write_table(table.replace_schema_metadata({"tracecanary.schema_version": version}), segment)

    with pytest.raises(StoreError, match=remedy) as caught, Store(tmp_path).session():
        pass

    assert str(segment) in str(caught.value)


def test_column_that_an_older_segment_lacks_reads_as_null(tmp_path: Path) -> None:
    segment = write_spans(tmp_path, [{"trace_id": "old", **CALL, "cohort": "shop"}])
    table = pq.read_table(segment)
    pq.write_table(table.drop_columns(["cohort"]), segment)
    write_spans(tmp_path, [{"trace_id": "new", **CALL, "cohort": "shop"}])

    with Store(tmp_path).session() as session:
        rows = session.rows("model_traces_v1")

    assert {row["trace_id"]: row["cohort"] for row in rows} == {"old": None, "new": "shop"}


def test_column_that_every_segment_lacks_reads_as_null(tmp_path: Path) -> None:
    segment = write_spans(tmp_path, [{"trace_id": "old", **CALL}])
    pq.write_table(pq.read_table(segment).drop_columns(["cohort", "retry_count"]), segment)

    with Store(tmp_path).session() as session:
        rows = session.rows("model_traces_v1")

    assert [(row["cohort"], row["retries"]) for row in rows] == [(None, None)]


@pytest.mark.parametrize("name", ["run [1]", "what*", "is this?", "environment=prod", "it's"])
def test_name_of_the_lakes_folder_has_no_meaning(tmp_path: Path, name: str) -> None:
    lake = tmp_path / name
    write_spans(lake, [{"trace_id": "t1", **CALL, "environment": "test"}])

    with Store(lake).session() as session:
        assert [row["environment"] for row in session.rows("model_traces_v1")] == ["test"]


def test_unfinished_segment_is_not_read(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    (landing_folder(tmp_path, LakeTable.SPANS) / "1.tmp").write_bytes(b"PAR1")

    with Store(tmp_path).session() as session:
        assert models(session) == ["base"]


def test_lake_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, whom no rights stop.
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(LakeError, match="can't list the lake") as caught, Store(tmp_path).session():
        pass

    assert str(tmp_path) in str(caught.value)
