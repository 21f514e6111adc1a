"""Facts and rollups expire by their own ages, whatever comes late and however the lake is rewritten meanwhile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.ageing_lake import (
    ARMS,
    DAY_H,
    HOUR_NS,
    KEPT,
    PLAN,
    SPANS_ALONE,
    START_H,
    AgeingLake,
    judgement,
    lake_of_ten_days,
    span,
    sums_since,
    trace_id,
)
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.answer import Answer
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import DerivationSettings, Retention
from tracecanary.analytics.derived_checks import derived_findings
from tracecanary.analytics.derived_definition import definition
from tracecanary.analytics.derived_files import DerivedFolder, smallest_value
from tracecanary.analytics.lake_checks import Severity
from tracecanary.analytics.listings import list_cohorts, list_models
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.rebuild import rebuild_derived_state
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import explain_trace, list_traces
from tracecanary.schema import (
    ConfigurationError,
    InvalidQuestionError,
    UnknownTraceError,
)

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["age", "age", "trace", "trace", "late", "judge", "compact", "compact", "forget", "declare", "look"]
        ),
        st.integers(0, 40),
        st.integers(1, 60),
    ),
    min_size=8,
    max_size=20,
)


@dataclass
class Ageing:
    """Two lakes that get the same rows: in one facts and rollups expire, the other keeps them for ever."""

    lake: AgeingLake
    control: AgeingLake
    starts: list[float] = field(default_factory=list)

    def both(self) -> tuple[AgeingLake, AgeingLake]:
        return self.lake, self.control

    def take(self, step: Step) -> None:
        kind, which, amount = step
        if kind == "look":
            self.check()
        elif kind == "trace" or (kind in {"late", "judge"} and not self.starts):
            self.begin_trace(which, spans=amount % 4 + 1)
        elif kind == "late":  # a trace lasts a day at most
            number = which % len(self.starts)
            hour = self.starts[number] + min(amount, DAY_H) / 2
            self.write([span(number + 1, hour=hour, place=amount + 10, model="other")])
        elif kind == "judge":
            self.judge(which % len(self.starts), passed=amount % 3 > 0)
        else:
            for lake in self.both():
                self.change(lake, kind, amount)

    def change(self, lake: AgeingLake, kind: str, amount: int) -> None:
        if kind == "age":
            lake.hour += amount
        elif kind == "declare":
            lake.declare(() if lake.dimensions else (PLAN,))
        else:  # forget: what was adopted since is not told any more, and all is derived anew
            lake.compact(grace_s=0 if kind == "forget" else 3600)

    def begin_trace(self, which: int, *, spans: int) -> None:
        self.starts.append(self.lake.hour + which / 50)
        number, start = len(self.starts), self.starts[-1]
        self.write([span(number, hour=start + place * 7, place=place) for place in range(spans)])

    def judge(self, number: int, *, passed: bool) -> None:
        rows = [judgement(number + 1, hour=self.lake.hour, passed=passed)]
        facts_from_h = self.lake.state().facts_from_ns / HOUR_NS - START_H
        write_evaluations(self.lake.folder, rows)
        if self.starts[number] >= facts_from_h:  # else it counts no more
            write_evaluations(self.control.folder, rows)
        for lake in self.both():
            lake.state()

    def write(self, spans: Sequence[Mapping[str, Any]]) -> None:
        for lake in self.both():
            write_spans(lake.folder, [dict(one) for one in spans])

    def check(self) -> None:
        state = self.lake.state()
        facts = {
            trace: row for trace, row in self.control.facts().items() if row["start_unix_ns"] >= state.facts_from_ns
        }
        assert self.lake.facts() == facts
        assert sums_since(self.lake, 0) == sums_since(self.control, state.rollups_from_ns)


@settings(max_examples=2, deadline=None)
@given(steps=STEPS)
def test_what_is_kept_is_what_a_lake_that_keeps_all_has_of_the_same_days(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    folder = tmp_path_factory.mktemp("lakes")
    ageing = Ageing(AgeingLake(folder / "ageing", KEPT), AgeingLake(folder / "control", SPANS_ALONE))

    for step in steps:
        ageing.take(step)

    ageing.check()


def on_day(day: float) -> datetime:
    return datetime.fromtimestamp((START_H + day * DAY_H) * 3600, UTC)


def counts(answer: Answer) -> tuple[int, int]:
    return answer.overall.traces.base, answer.overall.traces.candidate


def test_facts_expire_by_whole_days_and_rollups_go_on_answering(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path, replace(KEPT, rollups_days=None))
    before, cohorts, models = lake.answer(), list_cohorts(lake.opened(), Selection()), list_models(lake.opened())

    lake.compact()
    after = lake.answer()

    assert {int(trace, 16) for trace in lake.facts()} == set(range(24, 40))
    assert counts(after) == counts(before) == (20, 20)
    for old, new in zip(before.overall.metrics, after.overall.metrics, strict=True):
        assert (new.metric, new.base.n, new.candidate.n) == (old.metric, old.base.n, old.candidate.n)
        if old.unit != "s":  # quantiles are exact while traces are there
            assert new == old
    assert [(row.cohort, row.traces) for row in list_cohorts(lake.opened(), Selection())] == [
        (row.cohort, row.traces) for row in cohorts
    ]
    assert [row.model_copy(update={"first_seen": on_day(0)}) for row in list_models(lake.opened())] == [
        row.model_copy(update={"first_seen": on_day(0)}) for row in models
    ]


def test_an_answer_says_which_of_its_days_are_known_as_a_whole(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path, replace(KEPT, rollups_days=None))
    assert lake.answer().checks.retention.state == "ok"

    lake.compact()

    check = lake.answer().checks.retention
    assert (check.state, check.is_blocking, check.figures["facts_from"]) == ("warning", False, on_day(6).isoformat())
    assert "traces before 2026-06-07 are known by their sums of a day alone" in (check.reason or "")
    assert lake.answer(replace(ARMS, from_time=on_day(6))).checks.retention.state == "ok"
    examples = [trace for cohort in lake.answer().cohorts for trace in cohort.examples.base + cohort.examples.candidate]
    assert {int(trace, 16) for trace in examples} <= set(range(24, 40))


def test_a_window_that_cuts_an_expired_day_is_counted_from_whole_days(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path, replace(KEPT, rollups_days=None))
    lake.compact()

    answer = lake.answer(replace(ARMS, from_time=on_day(1.502), to_time=on_day(4.503)))

    assert counts(answer) == (4, 4)  # of days 2 and 3
    reason = answer.checks.retention.reason or ""
    assert "'from' cuts such a day: counted from 2026-06-03T00:00Z" in reason
    assert "'to' cuts such a day: counted to 2026-06-05T00:00Z" in reason
    # Nothing of the day lies outside of the window.
    assert counts(lake.answer(replace(ARMS, from_time=on_day(1.25), to_time=on_day(4.25)))) == (6, 6)
    # Traces of these days are there.
    assert counts(lake.answer(replace(ARMS, from_time=on_day(6.5002)))) == (7, 8)


def test_a_window_within_an_expired_day_is_refused(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()

    with pytest.raises(InvalidQuestionError, match=r"before 2026-06-07T00:00:00\+00:00 have expired .* whole day"):
        lake.answer(replace(ARMS, from_time=on_day(3.501), to_time=on_day(3.502)))


def test_rollups_expire_after_facts_and_the_answer_says_since_when(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)

    lake.compact()

    assert counts(lake.answer()) == (16, 16)
    assert [row.traces for row in list_models(lake.opened())] == [16, 16]
    assert [row.first_seen for row in list_models(lake.opened())] == [on_day(2)] * 2
    assert "nothing is known of those before 2026-06-03" in (lake.answer().checks.retention.reason or "")


def test_an_expired_trace_is_not_found_and_the_error_says_why(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()

    listed = {int(row.trace_id, 16) for row in list_traces(lake.opened(), Selection(), most=100)}

    assert listed == set(range(24, 40))
    assert explain_trace(lake.opened(), trace_id(24)).facts is not None
    with pytest.raises(UnknownTraceError, match=r"started before 2026-06-07T00:00Z have expired"):
        explain_trace(lake.opened(), trace_id(23))


def test_a_snapshot_that_is_open_at_midnight_loses_the_day_that_expires(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()
    store = lake.opened()
    number = store.current_snapshot()
    lake.hour += 23
    assert store.current_snapshot() == number

    lake.hour += 1
    lake.compact()  # its spans have expired long since, and no others came

    assert {int(trace, 16) for trace in lake.facts()} == set(range(28, 40))
    assert store.known_snapshot() != number


def test_late_rows_of_an_expired_trace_do_not_count(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()
    before = (sums_since(lake, 0), lake.facts())

    write_spans(lake.folder, [span(5, hour=DAY_H + 12.1, place=1)])
    write_evaluations(lake.folder, [judgement(5, hour=lake.hour, passed=False)])

    assert (sums_since(lake, 0), lake.facts()) == before


@pytest.mark.parametrize("is_anew", [False, True], ids=["stepwise", "anew"])
def test_late_spans_of_a_trace_over_midnight_make_no_second_one_of_it(tmp_path: Path, *, is_anew: bool) -> None:
    lake = AgeingLake(tmp_path / "lake", replace(KEPT, facts_days=2, rollups_days=3))
    write_spans(lake.folder, [span(1, hour=23), span(1, hour=25, place=1)])
    lake.hour = 3 * DAY_H
    lake.compact()
    before = sums_since(lake, 0)
    assert (lake.facts(), before["rollup_models_sum_v2"] != []) == ({}, True)

    write_spans(lake.folder, [span(1, hour=26, place=2)])
    if is_anew:
        lake.declare((PLAN,))

    assert (lake.facts(), sums_since(lake, 0)) == ({}, before)
    with pytest.raises(UnknownTraceError):
        explain_trace(lake.opened(), trace_id(1))


def test_another_definition_takes_over_rollups_that_have_outlived_their_facts(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()
    before = counts(lake.answer())

    lake.declare((PLAN,))

    assert counts(lake.answer()) == before == (16, 16)


def test_any_number_of_definitions_take_over_from_each_other(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()
    before, taken_over = counts(lake.answer()), set()

    for name in ("plan", "region", "tier"):
        taken_over.add(definition(lake.settings()))
        lake.declare((replace(PLAN, name=name),))

        assert counts(lake.answer()) == before
        assert lake.state().carried_from == taken_over


def test_what_has_expired_leaves_the_files_too(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()
    state = lake.state()
    folder = DerivedFolder(lake.folder / "derived", definition(lake.settings()))

    def oldest(table: str, column: str) -> int | None:
        found = [smallest_value(folder.path / name, column) for name in state.files_of(table)]
        return min(value for value in found if value is not None)

    assert oldest("facts", "start_unix_ns") == int((START_H + 6 * DAY_H + 12) * HOUR_NS)
    assert oldest("rollup_hours", "hour_unix_ns") == (START_H + 2 * DAY_H + 12) * HOUR_NS
    assert oldest("rollup_examples", "day_unix_ns") == (START_H + 6 * DAY_H) * HOUR_NS


def stored_traces(folder: DerivedFolder) -> set[int]:
    files = [folder.path / name for name in folder.newest().files_of("facts")]
    columns = [pq.read_table(path, columns=["trace_id"])["trace_id"] for path in files]
    return {int(str(trace), 16) for column in columns for trace in column.to_pylist()}


def test_what_has_expired_leaves_the_files_of_other_definitions_too(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    Store(lake.folder).current_snapshot()  # as a command without --config does
    other = DerivedFolder(lake.folder / "derived", definition(DerivationSettings()))
    lake.declare((PLAN,))
    lake.compact()
    lake.state()
    assert stored_traces(other) == set(range(40))
    os.utime(other.path, (1, 1))
    told = [finding.problem for finding in derived_findings(lake.folder, lake.settings(), now_ms=lake.now_ms())]

    lake.opened().expire_others()

    assert stored_traces(other) == set(range(24, 40))
    assert other.path.stat().st_mtime == 1  # nobody has used it
    assert f"{other.path}, of other settings or another version, has facts since 2026-06-01" in told[-1]
    findings = list(derived_findings(lake.folder, lake.settings(), now_ms=lake.now_ms()))
    assert [finding.severity for finding in findings] == [Severity.NOTE]
    without_configuration = compare(Store(lake.folder, clock_ms=lake.now_ms), Question(selection=ARMS)).answer
    assert counts(without_configuration) == counts(lake.answer()) == (16, 16)


def test_facts_of_other_columns_stay_and_doctor_says_so(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    Store(lake.folder).current_snapshot()
    other = DerivedFolder(lake.folder / "derived", definition(DerivationSettings()))
    for name in other.newest().files_of("facts"):
        facts = pq.read_table(other.path / name)
        pq.write_table(facts.append_column("other", pa.nulls(len(facts), pa.string())), other.path / name)
    lake.declare((PLAN,))
    lake.compact()

    lake.state()
    lake.opened().expire_others()

    assert stored_traces(other) == set(range(40))
    findings = list(derived_findings(lake.folder, lake.settings(), now_ms=lake.now_ms()))
    assert [finding.severity for finding in findings] == [Severity.NOTE, Severity.WARNING]
    assert "with other columns: delete it" in findings[1].remedy


def test_rows_of_a_long_retention_stay_in_their_files_for_some_days(tmp_path: Path) -> None:
    lake = AgeingLake(tmp_path / "lake", Retention(spans_days=50, facts_days=70), hour=71 * DAY_H)
    write_spans(lake.folder, [span(1, hour=1), span(2, hour=10 * DAY_H)])
    lake.compact()
    state = lake.state()
    assert set(lake.facts()) == {trace_id(2)}  # at once

    lake.hour += 5 * DAY_H
    lake.compact()
    assert lake.state().parts == state.parts

    lake.hour += 3 * DAY_H
    lake.compact()
    assert [part.traces for part in lake.state().parts] == [1]


def test_another_age_derives_nothing_anew(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()
    facts_from_ns, settings = lake.state().facts_from_ns, lake.settings()

    lake.retain(Retention(spans_days=2, evaluations_days=2))

    assert definition(lake.settings()) == definition(settings)
    assert lake.state().facts_from_ns == facts_from_ns  # what has expired does not come back
    assert counts(lake.answer()) == (16, 16)


def test_rebuild_names_the_rollups_that_would_be_lost(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.compact()
    lake.state()

    with pytest.raises(ConfigurationError, match=r"rollups of 16 traces have outlived their facts.*--drop-expired"):
        rebuild_derived_state(lake.folder, lake.settings(), clock_ms=lake.now_ms)
    assert counts(lake.answer()) == (16, 16)

    lake.rebuild()
    assert counts(lake.answer()) == (4, 4)


def test_doctor_tells_what_has_expired_and_what_should_have(tmp_path: Path) -> None:
    lake = lake_of_ten_days(tmp_path)
    lake.state()

    (late,) = derived_findings(lake.folder, lake.settings(), now_ms=lake.now_ms())
    lake.compact()
    lake.state()
    (told,) = derived_findings(lake.folder, lake.settings(), now_ms=lake.now_ms())

    assert late.severity is Severity.WARNING
    assert "kept since 2026-06-07, but there are some of 2026-06-01" in late.problem
    assert told.severity is Severity.NOTE
    assert "before 2026-06-07 have expired; rollups before 2026-06-03, too" in told.problem


@pytest.mark.parametrize(
    ("days", "problem"),
    [
        pytest.param({"spans_days": 9, "facts_days": 8}, r"facts_days is 8, .* spans_days, which is 9", id="facts"),
        pytest.param(
            {"spans_days": 1, "facts_days": 8, "rollups_days": 7.5},
            r"rollups_days is 7.5, .* facts_days, which is 8",
            id="rollups",
        ),
        pytest.param({"facts_days": 8}, r"facts_days is 8, but needs spans_days", id="spans-for-ever"),
        pytest.param(
            {"spans_days": 1, "rollups_days": 8}, r"rollups_days is 8, but needs facts_days", id="facts-for-ever"
        ),
        pytest.param({"spans_days": 1, "facts_days": -2}, r"facts_days is -2, .* greater than 0", id="negative"),
    ],
)
def test_what_would_be_dropped_before_what_it_comes_from_is_refused(days: dict[str, float], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Retention(**days)
