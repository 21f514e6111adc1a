"""Comparisons through a real lake: the arms that are there, the window, what an agent span alone knows."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.analytics.lake import write_spans

from tracecanary.analytics.answer import Verdict
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.schema import InvalidQuestionError, UnknownArmError

S = 1_000_000_000
CALL = {"span_id": "a", "kind": "llm", "duration_ns": S}


def asked(*arms: str, from_s: int | None = None) -> Question:
    from_time = None if from_s is None else datetime.fromtimestamp(from_s, UTC)
    return Question(selection=Selection(arms=arms, from_time=from_time))


def test_fresh_arm_without_traces_in_the_window_holds(tmp_path: Path) -> None:
    write_spans(
        tmp_path,
        [
            {"trace_id": "early", **CALL, "model": "candidate", "start_unix_ns": 1 * S},
            {"trace_id": "late", **CALL, "model": "base", "start_unix_ns": 9 * S},
        ],
    )

    made = compare(Store(tmp_path), asked("base", "candidate", from_s=5))

    assert made.answer.overall.verdict is Verdict.HOLD
    assert made.answer.overall.reasons[0].endswith(": the candidate has no traces")
    assert (made.answer.overall.traces.base, made.answer.overall.traces.candidate) == (1, 0)
    assert made.last_trace == datetime.fromtimestamp(9, UTC)


def test_window_without_any_traces_holds(tmp_path: Path) -> None:
    calls = [{"trace_id": model, **CALL, "model": model} for model in ("base", "candidate")]
    write_spans(tmp_path, calls)

    made = compare(Store(tmp_path), asked("base", "candidate", from_s=5))

    assert made.answer.overall.verdict is Verdict.HOLD
    assert made.answer.cohorts == []
    assert made.last_trace is None


@pytest.mark.parametrize(("arms", "parameter"), [(("base", "typo"), "candidate"), (("typo", "base"), "base")])
def test_arm_never_seen_is_refused_with_what_was_seen(tmp_path: Path, arms: tuple[str, str], parameter: str) -> None:
    calls = [{"trace_id": model, **CALL, "model": model} for model in ("base", "third")]
    write_spans(tmp_path, calls)

    with pytest.raises(UnknownArmError, match="seen: base, third") as caught:
        compare(Store(tmp_path), asked(*arms))

    assert (caught.value.parameter, caught.value.arm, caught.value.seen) == (parameter, "typo", ("base", "third"))


def test_empty_lake_has_seen_no_arm(tmp_path: Path) -> None:
    with pytest.raises(UnknownArmError, match="seen: none yet"):
        compare(Store(tmp_path), asked("base", "candidate"))


def test_agent_span_without_a_convention_is_compared_with_one_that_has_it(tmp_path: Path) -> None:
    # An arm where some traces have model calls and some have only an agent span: conventions are partly unknown.
    write_spans(
        tmp_path,
        [
            {"trace_id": "t1", **CALL, "model": "base", "convention": "otel_genai"},
            {"trace_id": "t2", **CALL, "model": "base", "kind": "agent", "convention": "otel_genai"},
            {"trace_id": "t3", **CALL, "model": "candidate", "convention": "otel_genai"},
        ],
    )

    figures = compare(Store(tmp_path), asked("base", "candidate")).answer.checks.confounders.figures

    assert figures["base_conventions"] == ["(none)", "otel_genai"]


def test_trace_of_both_arms_counts_for_the_one_asked_first(tmp_path: Path) -> None:
    write_spans(
        tmp_path,
        [
            {"trace_id": "t1", **CALL, "model": "candidate", "start_unix_ns": 1},
            {"trace_id": "t1", **CALL, "span_id": "b", "model": "base", "start_unix_ns": 2},
            {"trace_id": "t2", **CALL, "model": "base"},
        ],
    )

    answer = compare(Store(tmp_path), asked("base", "candidate")).answer

    assert (answer.overall.traces.base, answer.overall.traces.candidate) == (1, 1)
    assert answer.checks.contamination.figures == {"base": 0, "candidate": 1}
    assert answer.checks.contamination.reason == "up to 100.0% of an arm's traces called the other arm's model too"


@pytest.mark.parametrize(("arms", "parameter"), [((), "base"), (("base",), "candidate"), (("base", ""), "candidate")])
def test_question_without_two_arms_is_refused(arms: tuple[str, ...], parameter: str) -> None:
    with pytest.raises(InvalidQuestionError, match="is missing") as caught:
        asked(*arms)

    assert caught.value.parameter == parameter


def test_order_of_rows_in_the_lake_changes_no_digit(tmp_path: Path) -> None:
    # 0.1 + 0.2 + 0.3 is 0.6000000000000001, and 0.3 + 0.2 + 0.1 is 0.6.
    calls = [
        {
            "trace_id": f"{model}{tenths}",
            **CALL,
            "model": model,
            "input_tokens": 1,
            "reported_cost_nano_usd": tenths * S // 10,
        }
        for model in ("base", "candidate")
        for tenths in (1, 2, 3)
    ]
    write_spans(tmp_path / "one", calls)
    write_spans(tmp_path / "other", calls[::-1])

    one, other = (compare(Store(tmp_path / name), asked("base", "candidate")).answer for name in ("one", "other"))

    assert one == other


@pytest.mark.parametrize(
    ("own_conversations", "pair_ids", "are_paired"),
    [
        pytest.param(True, True, "yes", id="pairs-join-what-conversations-do-not"),
        pytest.param(False, False, "yes", id="the-same-conversations"),
        pytest.param(True, False, "no", id="nothing-joins-the-arms"),
    ],
)
def test_arms_that_answered_the_same_requests_are_paired(
    tmp_path: Path, own_conversations: bool, pair_ids: bool, are_paired: str
) -> None:
    calls = [
        {
            "trace_id": f"{model}{number}",
            **CALL,
            "model": model,
            "conversation_id": f"{model}{number}" if own_conversations else str(number),
            "pair_id": str(number) if pair_ids else None,
            "status": "error" if number < (2 if model == "base" else 3) else "ok",
        }
        for model in ("base", "candidate")
        for number in range(30)
    ]
    write_spans(tmp_path, calls)

    answer = compare(Store(tmp_path), asked("base", "candidate")).answer

    assert answer.checks.clusters.figures["are_paired"] == are_paired
    assert (answer.paired is not None) is pair_ids
    if answer.paired is not None:
        row = next(row for row in answer.paired.rows if row.cohort is None and row.metric == "error_rate")
        assert (row.pairs, row.base_only, row.candidate_only, row.p_value) == (30, 0, 1, 1.0)
        assert (answer.paired.unpaired.base, answer.paired.unpaired.candidate) == (0, 0)


def test_held_out_answers_and_live_traffic_stand_side_by_side(tmp_path: Path) -> None:
    def calls(model: str, kind: str, failed: int, n: int = 150) -> list[dict[str, object]]:
        return [
            {
                "trace_id": f"{model}{kind}{number}",
                **CALL,
                "model": model,
                "cohort": "telecom",
                "pair_id": f"item {number}" if kind == "held-out" else None,
                "status": "error" if number < failed else "ok",
            }
            for number in range(n)
        ]

    write_spans(tmp_path, [*calls("base", "held-out", 30), *calls("candidate", "held-out", 5)])
    write_spans(tmp_path, [*calls("base", "live", 5), *calls("candidate", "live", 75)])

    paired = compare(Store(tmp_path), asked("base", "candidate")).answer.paired

    assert paired is not None
    assert paired.held_out is not None
    assert paired.live is not None
    assert (paired.pairs, paired.unpaired.base) == (150, 150)
    of_errors = [
        next(row for row in part.cohorts[0].metrics if row.metric == "error_rate")
        for part in (paired.held_out, paired.live)
    ]
    assert [(row.base.n, row.base.value, row.candidate.value) for row in of_errors] == [
        (150, 0.2, pytest.approx(1 / 30)),
        (150, pytest.approx(1 / 30), 0.5),
    ]
    assert [row.state for row in of_errors] == ["better", "harm"]


def test_pairs_alone_have_no_live_part(tmp_path: Path) -> None:
    calls = [
        {"trace_id": f"{model}{number}", **CALL, "model": model, "pair_id": str(number)}
        for model in ("base", "candidate")
        for number in range(3)
    ]
    write_spans(tmp_path, calls)

    paired = compare(Store(tmp_path), asked("base", "candidate")).answer.paired

    assert paired is not None
    assert (paired.held_out, paired.live) == (None, None)
