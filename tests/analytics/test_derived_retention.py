"""What is derived outlives the spans that retention drops, through real compactions."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.compaction import compact
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import CompactionSettings, DerivationSettings, Retention
from tracecanary.analytics.derived_checks import derived_findings
from tracecanary.analytics.derived_definition import definition
from tracecanary.analytics.derived_files import FORGOTTEN_AFTER_S, DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, Listing, kept_hours
from tracecanary.analytics.lake_checks import Severity
from tracecanary.analytics.listings import list_models
from tracecanary.analytics.parquet_files import file_columns
from tracecanary.analytics.question import Question, Selection, time_of
from tracecanary.analytics.rebuild import rebuild_derived_state
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import explain_trace, list_traces
from tracecanary.schema import CohortDimension, ConfigurationError, DimensionSource, StoreError, list_lake_files

HOUR_NS, HOUR_MS = 3_600 * 10**9, 3_600_000
TODAY_H = 10 * 24
KEEP_ALL = CompactionSettings(settle_s=10**9)
KEEP_TWO_DAYS = CompactionSettings(settle_s=10**9, retention=Retention(spans_days=2, evaluations_days=2))
OTHERS = DerivationSettings(dimensions=(CohortDimension(name="plan", source=DimensionSource.ATTRIBUTE, key="plan"),))
THIRD = DerivationSettings(dimensions=(CohortDimension(name="tier", source=DimensionSource.ATTRIBUTE, key="tier"),))


def span(trace: int, *, hour: int, **columns: Any) -> dict[str, Any]:
    model = "candidate" if trace % 2 else "base"
    given = {"span_id": "a" * 16, "kind": "llm", "model": model, "input_tokens": 5, "response_id": f"r{trace}"}
    return {"trace_id": str(trace) * 32, "start_unix_ns": hour * HOUR_NS, **given, **columns}


def judgement(trace: int | None, *, hour: int, **columns: Any) -> dict[str, Any]:
    trace_id = None if trace is None else str(trace) * 32
    return {"trace_id": trace_id, "name": "reward", "passed": False, "received_unix_ns": hour * HOUR_NS, **columns}


def compact_at(lake: Path, settings: CompactionSettings, *, hour: int = TODAY_H) -> None:
    compact(lake, settings, clock_ms=lambda: hour * HOUR_MS)


def known(lake: Path, settings: DerivationSettings | None = None) -> tuple[Any, ...]:
    """Return everything that is known of the traces, by trace, and the sums of it."""
    store = Store(lake, settings)
    with store.session() as session:
        facts = session.rows("live_facts_v1")
        judged = session.rows("judged_outcomes_v1")
        sums = [session.rows(query) for query in ("rollup_groups_sum_v2", "rollup_histograms_sum_v1")]
        unmatched = session.rows("unmatched_evaluations_v1")
    facts = [{name: value for name, value in row.items() if name != "revision"} for row in facts]
    return list_models(store), *(sorted(rows, key=repr) for rows in (facts, judged, *sums, unmatched))


def newest_state(lake: Path, settings: DerivationSettings | None = None) -> DerivedState:
    return DerivedFolder(lake / "derived", definition(settings or DerivationSettings())).newest()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of a trace of each of five days, of which retention may drop the first three."""
    lake = tmp_path / "lake"
    for number in range(5):
        write_spans(lake, [span(number, hour=TODAY_H - (5 - number) * 24 + 12)])
    write_evaluations(lake, [judgement(0, hour=TODAY_H - 100), judgement(None, response_id="r1", hour=TODAY_H - 99)])
    write_evaluations(lake, [judgement(4, hour=TODAY_H - 98), judgement(9, hour=TODAY_H - 97)])
    compact_at(lake, KEEP_ALL)
    return lake


def test_facts_outlive_their_spans_and_nothing_is_derived_for_it(lake: Path) -> None:
    before, parts = known(lake), newest_state(lake).parts
    question = Question(selection=Selection(arms=("base", "candidate")))
    answer = compare(Store(lake), question).answer

    compact_at(lake, KEEP_TWO_DAYS)

    assert known(lake) == before
    assert compare(Store(lake), question).answer == answer
    assert newest_state(lake).parts == parts
    assert newest_state(lake).names == frozenset(
        name for names in (list_lake_files(lake).names(table) for table in newest_state(lake).inputs) for name in names
    )
    assert len(newest_state(lake).names) == 2  # of nine


def test_a_late_span_of_a_trace_that_outlived_its_spans_changes_nothing(
    lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    before = known(lake)

    with caplog.at_level(logging.INFO, logger="tracecanary"):
        write_spans(lake, [span(0, hour=TODAY_H, span_id="b" * 16), span(7, hour=TODAY_H - 60)])
        after = known(lake)

    assert after == before
    assert "2 spans came after those of their traces or hours had expired" in caplog.text


def test_a_late_evaluation_of_a_trace_that_outlived_its_spans_counts(lake: Path) -> None:
    known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    (models, facts, judged, *_) = known(lake)

    write_evaluations(lake, [judgement(2, hour=TODAY_H), judgement(None, response_id="r1", hour=TODAY_H, passed=True)])

    (models_after, facts_after, judged_after, *_) = known(lake)
    failed = {row["trace_id"][0]: row["has_failed"] for row in judged}
    assert failed == {"0": True, "1": True, "4": True, "9": True}
    assert {row["trace_id"][0]: row["has_failed"] for row in judged_after} == {**failed, "1": False, "2": True}
    assert models_after == models
    assert [row["first_span_ns"] for row in facts_after] == [row["first_span_ns"] for row in facts]


def test_facts_outlive_their_spans_when_all_else_is_derived_anew(lake: Path) -> None:
    before = known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    for hour in (1, 3, 5):  # compaction forgets what it adopted, and nobody has looked meanwhile
        write_spans(lake, [span(4, hour=TODAY_H - 12)])
        compact_at(lake, CompactionSettings(settle_s=10**9, grace_s=0), hour=TODAY_H + hour)
    assert newest_state(lake).manifest < list_lake_files(lake).manifest.forgotten_through

    assert known(lake) == before


def test_facts_outlive_their_spans_when_a_file_is_lost(lake: Path) -> None:
    lost = write_spans(lake, [span(0, hour=TODAY_H - 1, span_id="c" * 16), span(8, hour=TODAY_H - 1)])
    (_, before, *_) = known(lake)
    compact(lake, KEEP_TWO_DAYS, clock_ms=lambda: TODAY_H * HOUR_MS, should_stop=lambda: True)  # only expires
    known(lake)

    lost.unlink()

    (_, after, *_) = known(lake)
    assert after == [row for row in before if row["trace_id"] != "8" * 32]


def test_another_definition_takes_over_what_outlived_its_spans(lake: Path) -> None:
    (models, *_) = known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)

    (models_of_others, *_) = known(lake, OTHERS)

    assert models_of_others == models
    assert newest_state(lake, OTHERS).carried_from == {definition(DerivationSettings())}


def test_a_third_definition_takes_it_over_from_the_second(lake: Path) -> None:
    (models, *_) = known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)
    known(lake, OTHERS)

    (models_of_third, *_) = known(lake, THIRD)

    assert models_of_third == models
    assert newest_state(lake, THIRD).carried_from == {definition(DerivationSettings()), definition(OTHERS)}


@pytest.mark.parametrize(
    "spans",
    [
        pytest.param([span(1, hour=1)], id="a-call"),
        pytest.param(
            [span(1, hour=1, status="error", error_class="timeout"), span(1, hour=2, span_id="b" * 16)], id="two"
        ),
    ],
)
def test_parts_have_the_same_columns_whatever_they_were_derived_from(
    tmp_path: Path, spans: list[dict[str, Any]]
) -> None:
    for name in ("none", "some"):
        (tmp_path / name).mkdir()
    write_spans(tmp_path / "some", spans)

    columns = []
    for lake in (tmp_path / "none", tmp_path / "some"):
        Store(lake).current_snapshot()
        (part,) = newest_state(lake).parts
        folder = lake / "derived" / definition(DerivationSettings())
        files = {table: folder / name for table, name in part.files.items() if name.endswith(".parquet")}
        columns.append({table: file_columns(path) for table, path in files.items()})

    assert columns[0] == columns[1]


def rewrite_facts(lake: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    """Change the columns of stored facts, as those of another version differ; return the folder."""
    folder = lake / "derived" / definition(DerivationSettings())
    for part in newest_state(lake).parts:
        path = folder / part.files["facts"]
        pq.write_table(change(pq.read_table(path)), path)
    return folder


def with_narrow_integers(facts: pa.Table) -> pa.Table:
    narrow = {"revision": pa.int32(), "llm_calls": pa.uint16()}
    return facts.cast(pa.schema([field.with_type(narrow.get(field.name, field.type)) for field in facts.schema]))


def with_wide_integers(facts: pa.Table) -> pa.Table:
    kinds = {pa.int32(): pa.int64(), pa.int16(): pa.int32()}
    return facts.cast(pa.schema([field.with_type(kinds.get(field.type, field.type)) for field in facts.schema]))


@pytest.mark.parametrize("change", [with_narrow_integers, with_wide_integers])
def test_facts_with_integers_of_another_width_are_taken_over(
    lake: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    (models, facts, *_) = known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)
    rewrite_facts(lake, change)

    (models_of_others, facts_of_others, *_) = known(lake, OTHERS)

    assert models_of_others == models
    assert [row["llm_calls"] for row in facts_of_others] == [row["llm_calls"] for row in facts]
    assert newest_state(lake, OTHERS).left_in == {}
    folder = lake / "derived" / definition(OTHERS)
    carried, derived = (file_columns(folder / part.files["facts"]) for part in newest_state(lake, OTHERS).parts)
    assert carried == derived


def test_facts_that_can_not_be_taken_over_are_told_for_good(lake: Path) -> None:
    known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)
    left = rewrite_facts(lake, lambda facts: facts.append_column("other", pa.nulls(len(facts), pa.string())))
    known_from = (TODAY_H - 48) * HOUR_NS
    whole, since = (Selection(arms=("base", "candidate"), from_time=start) for start in (None, time_of(known_from)))

    assert [row.traces for row in known(lake, OTHERS)[0]] == [1, 1]
    write_spans(lake, [span(6, hour=TODAY_H - 1)])  # and all that is derived later

    store = Store(lake, OTHERS)
    check = compare(store, Question(selection=whole)).answer.checks.retention
    assert (check.state, check.is_blocking, check.figures["left_in"]) == ("warning", False, [left.name])
    assert check.figures["known_from"] == time_of(known_from).isoformat()
    assert "traces before 1970-01-09T00:00Z may be missing" in (check.reason or "")
    assert f"was left in derived/{left.name}" in (check.reason or "")
    assert compare(store, Question(selection=since)).answer.checks.retention.state == "ok"
    (finding,) = derived_findings(lake, OTHERS, now_ms=TODAY_H * HOUR_MS)
    assert finding.severity is Severity.WARNING
    assert f"left in {left}" in finding.problem
    shutil.rmtree(left)
    (finding,) = derived_findings(lake, OTHERS, now_ms=TODAY_H * HOUR_MS)
    assert finding.severity is Severity.NOTE
    assert f"the folder {left} that had their facts is gone" in finding.problem


def test_a_third_definition_still_knows_what_the_second_left(lake: Path) -> None:
    known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)
    left = rewrite_facts(lake, lambda facts: facts.append_column("other", pa.nulls(len(facts), pa.string())))
    known(lake, OTHERS)
    compact_at(lake, KEEP_TWO_DAYS, hour=TODAY_H + 24)
    known(lake, OTHERS)

    known(lake, THIRD)

    state = newest_state(lake, THIRD)
    assert state.carried_from == {definition(OTHERS)}
    assert state.left_in == {left.name: TODAY_H - 48}


def test_a_version_without_facts_of_expired_spans_leaves_nothing(lake: Path) -> None:
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)
    rewrite_facts(lake, lambda facts: facts.append_column("other", pa.nulls(len(facts), pa.string())))

    known(lake, OTHERS)

    assert newest_state(lake, OTHERS).left_in == {}


def test_another_definition_is_kept_until_what_outlived_its_spans_is_taken_over(lake: Path) -> None:
    known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)
    folder = DerivedFolder(lake / "derived", "new")
    folder.path.mkdir()
    (other,) = folder.others()
    os.utime(other.path, (1, 1))

    folder.sweep(DerivedState(), now=FORGOTTEN_AFTER_S + 10)
    assert other.path.exists()

    folder.sweep(DerivedState(carried_from=frozenset({other.path.name})), now=FORGOTTEN_AFTER_S + 10)
    assert not other.path.exists()


def test_rebuild_refuses_to_lose_what_outlived_its_spans(lake: Path) -> None:
    before = known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    known(lake)

    with pytest.raises(ConfigurationError, match=r"facts of 3 traces have outlived their spans, .* --drop-expired"):
        rebuild_derived_state(lake)
    assert known(lake) == before

    assert rebuild_derived_state(lake, may_drop_expired=True) == 2
    assert [row.traces for row in known(lake)[0]] == [1, 1]


def test_a_deleted_folder_is_derived_again_from_the_spans_that_are_left(lake: Path) -> None:
    known(lake)
    compact_at(lake, KEEP_TWO_DAYS)

    shutil.rmtree(lake / "derived")

    assert [row.traces for row in known(lake)[0]] == [1, 1]


def test_compaction_derives_what_is_to_outlive_its_spans_first(lake: Path) -> None:
    compact(lake, KEEP_TWO_DAYS, clock_ms=lambda: TODAY_H * HOUR_MS, before_expiry=Store(lake).current_snapshot)

    assert [row.traces for row in known(lake)[0]] == [3, 2]


def test_nothing_expires_that_can_not_be_derived_first(lake: Path) -> None:
    def fail() -> None:
        raise StoreError("a segment is damaged")

    report = compact(lake, KEEP_TWO_DAYS, clock_ms=lambda: TODAY_H * HOUR_MS, before_expiry=fail)

    assert report.expired_files == 0
    assert [row.traces for row in known(lake)[0]] == [3, 2]


def test_hours_that_expired_once_stay_so_when_more_is_kept_later() -> None:
    state, listing = DerivedState(kept_from_hour={"spans": 9}), Listing(files={}, kept_from_hour={"spans": 4})

    assert kept_hours(state, listing) == {"spans": 9}
    assert kept_hours(state, Listing(files={}, kept_from_hour={"evaluations": 3})) == {"spans": 9, "evaluations": 3}


def test_a_trace_that_outlived_its_spans_is_listed_with_its_facts_and_without_spans(lake: Path) -> None:
    known(lake)
    compact_at(lake, KEEP_TWO_DAYS)
    store = Store(lake)

    traces = list_traces(store, Selection(arms=("base",)), most=10)
    explained = explain_trace(store, "0" * 32)
    write_spans(lake, [span(0, hour=TODAY_H, span_id="b" * 16)])
    explained_again = explain_trace(store, "0" * 32)

    assert {row.trace_id[0] for row in traces} == {"0", "2", "4"}
    assert explained.spans == []
    assert explained.facts is not None
    assert (explained.facts["llm_calls"], explained.facts["input_tokens"]) == (1, 5)
    assert explained_again.facts == explained.facts
