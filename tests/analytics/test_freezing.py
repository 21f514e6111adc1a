"""What a comparison keeps to once it has begun, through a real lake."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.analytics.evidence_cases import row_of
from tests.analytics.lake import write_spans

from tracecanary.analytics.answer import CellState, Verdict
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.freezing import keep, kept
from tracecanary.analytics.policy import Policy
from tracecanary.analytics.prices import PriceBook, read_price_file
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.specification import spec_hash
from tracecanary.analytics.store import Store
from tracecanary.schema import LakeError
from tracecanary.schema.lake_storage import FolderStorage

S = 1_000_000_000


def asked(*, at_n: int | None = None, **fields: Any) -> Question:
    mode: Any = "sequential" if at_n is None else "fixed"
    return Question(selection=Selection(arms=("base", "candidate"), **fields), mode=mode, at_n=at_n)


def write_traces(lake: Path, count: int, *, first: int = 0, cost_usd: float = 1.0, tail_usd: float = 1.0) -> None:
    """Write so many traces of each arm; one in 500 costs `tail_usd`."""
    write_spans(
        lake,
        [
            {
                "trace_id": f"{arm}{number}",
                "span_id": "a",
                "kind": "llm",
                "duration_ns": S,
                "model": arm,
                "input_tokens": 10,
                "reported_cost_nano_usd": round((tail_usd if number % 500 == 499 else cost_usd + number % 7 / 100) * S),
            }
            for arm in ("base", "candidate")
            for number in range(first, first + count)
        ],
    )


def test_rules_have_one_name_and_any_change_another() -> None:
    plain = spec_hash(asked())

    assert plain == spec_hash(asked())
    assert len(plain) == 16
    others = [
        asked(at_n=500),
        asked(cohort_by=("route",)),
        Question(selection=asked().selection, policy=Policy(planned_traces=500)),
        Question(selection=asked().selection, confidence=0.9),
    ]
    assert len({plain, *(spec_hash(other) for other in others)}) == 5


def test_a_moving_window_is_the_same_sequential_comparison_and_another_look() -> None:
    windows = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]

    assert len({spec_hash(asked(from_time=window)) for window in windows}) == 1
    assert len({spec_hash(asked(from_time=window, at_n=500)) for window in windows}) == 2


def test_the_plan_is_stored_and_echoed(tmp_path: Path) -> None:
    write_traces(tmp_path, 3)

    echo = compare(Store(tmp_path), asked()).answer.question

    stored = json.loads((tmp_path / "comparisons" / f"{echo.spec_hash}.plan.json").read_text(encoding="utf-8"))
    assert (echo.mode, echo.planned_traces, stored["planned_traces"]) == ("sequential", 2000, 2000)
    assert stored["arms"] == ["base", "candidate"]


def test_a_filter_that_no_trace_meets_leaves_nothing_behind(tmp_path: Path) -> None:
    write_traces(tmp_path, 3)

    answer = compare(Store(tmp_path), asked(cohorts=("mistyped",))).answer

    assert (answer.overall.traces.base, answer.checks.plan.reason) == (0, None)
    assert not (tmp_path / "comparisons").exists()


def test_caps_are_frozen_when_the_base_has_values_enough_and_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_traces(tmp_path, 999)
    early = compare(store, asked()).answer.question.caps
    write_traces(tmp_path, 1001, first=999, tail_usd=50.0)
    frozen = compare(store, asked()).answer.question.caps
    write_traces(tmp_path, 1000, first=2000, cost_usd=100.0)

    late = compare(store, asked()).answer

    assert early == {}
    # The 99.9th percentile of 2,000 base values, two of which are 50: the lower of these.
    assert frozen["cost_per_trace"] == pytest.approx(50.0, rel=0.022)
    assert late.question.caps == frozen
    row = row_of(late.overall.metrics, "cost_per_trace")
    assert row.base.value is not None
    assert row.base.value > 33, "the value shown is the whole mean"


def test_a_cap_that_the_base_itself_has_outgrown_settles_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_traces(tmp_path, 1000)
    before = row_of(compare(store, asked()).answer.overall.metrics, "cost_per_trace")
    write_traces(tmp_path, 1000, first=1000, cost_usd=100.0)

    row = row_of(compare(store, asked()).answer.overall.metrics, "cost_per_trace")

    assert (before.state, before.reason) == (CellState.SAFE, None)
    assert (row.state, row.more_traces) == (CellState.UNSURE, None)
    assert "50% of the base's own traces lie above the cap" in (row.reason or "")


def test_other_prices_begin_another_comparison_with_caps_of_its_own(tmp_path: Path) -> None:
    write_traces(tmp_path, 1000)
    reported = compare(Store(tmp_path), asked()).answer.question

    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodel = "base"\ninput = 4000.0\noutput = 0\n', encoding="utf-8")
    settings = DerivationSettings(prices=PriceBook(read_price_file(file)))
    priced = compare(Store(tmp_path, settings), asked()).answer.question

    assert reported.spec_hash != priced.spec_hash
    assert reported.caps["cost_per_trace"] == pytest.approx(1.06, rel=0.022)
    assert priced.caps["cost_per_trace"] == pytest.approx(0.04, rel=0.03)
    assert compare(Store(tmp_path), asked()).answer.question == reported


def test_an_answer_without_caps_is_made_anew_once_another_window_has_fixed_them(tmp_path: Path) -> None:
    write_traces(tmp_path, 1000)
    store, none = Store(tmp_path), asked(from_time=datetime(2026, 1, 1, tzinfo=UTC))
    early = compare(store, none)
    repeated = compare(store, none)
    caps = compare(store, asked()).answer.question.caps

    late = compare(store, none)

    assert (early.answer.question.caps, early.is_settled) == ({}, False)
    assert repeated is early
    assert caps
    assert late.answer.question.caps == caps
    assert late.answer == compare(Store(tmp_path), none).answer
    assert late.is_settled


def test_one_look_is_taken_once_and_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_traces(tmp_path, 150)
    before = compare(store, asked(at_n=200))
    write_traces(tmp_path, 100, first=150)
    at_the_look = compare(store, asked(at_n=200))
    write_traces(tmp_path, 500, first=250)

    after = compare(store, asked(at_n=200))

    assert before.answer.overall.verdict is Verdict.HOLD
    row = row_of(before.answer.overall.metrics, "error_rate")
    assert (row.ci_low, row.ci_high) == (None, None)
    assert row.reason == "the one look is planned at 200 traces in each arm; there are 150 and 150"
    assert row.more_traces == 50
    assert not any("would settle it" in reason for reason in before.answer.overall.reasons)
    assert at_the_look.answer.overall.traces.base == 250
    assert row_of(at_the_look.answer.overall.metrics, "error_rate").ci_high is not None
    assert after == at_the_look


def test_a_lake_that_can_not_be_written_is_named_and_answers_all_the_same(tmp_path: Path) -> None:
    write_traces(tmp_path, 3)
    (tmp_path / "comparisons").write_text("a file where a folder should be", encoding="utf-8")

    made = compare(Store(tmp_path), asked())

    assert made.answer.checks.plan.state == "warning"
    assert "the plan is not fixed for later looks" in (made.answer.checks.plan.reason or "")
    assert not made.answer.checks.plan.is_blocking
    assert made.snapshot is None, "or the same request would go on being answered so once the lake can be written"
    with pytest.raises(LakeError, match="mode=sequential"):
        compare(Store(tmp_path), asked(at_n=2))


def test_whoever_is_first_decides_for_all(tmp_path: Path) -> None:
    found: list[Any] = []
    barrier = threading.Barrier(8)

    def publish(number: int) -> None:
        barrier.wait(10)
        found.append(keep(FolderStorage(tmp_path), "hash", "caps", {"number": number}).content["number"])

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(found) == 8
    assert set(found) == {(kept(FolderStorage(tmp_path), "hash", "caps") or {})["number"]}
    assert [path.name for path in (tmp_path / "comparisons").iterdir()] == ["hash.caps.json"]


def test_a_damaged_file_is_named_and_fixes_nothing(tmp_path: Path) -> None:
    (tmp_path / "comparisons").mkdir()
    (tmp_path / "comparisons" / "hash.caps.json").write_text("{torn", encoding="utf-8")

    assert kept(FolderStorage(tmp_path), "hash", "caps") is None
    found = keep(FolderStorage(tmp_path), "hash", "caps", {"a": 1})
    assert dict(found.content) == {"a": 1}
    assert "hash.caps.json of the lake is damaged" in (found.problem or "")
