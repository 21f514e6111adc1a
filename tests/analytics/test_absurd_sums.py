"""Spans at the limits of what is accepted, and beyond: sums of them, and of their powers, must not fail for anybody."""

from pathlib import Path
from typing import Any

import pytest
from tests.analytics.evidence_cases import row_of
from tests.analytics.lake import write_spans

from tracecanary.analytics.comparison import compare
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.trajectory import compare_trajectories
from tracecanary.collector.coercion import MAX_COST_NANO_USD, MAX_COUNT, MAX_DURATION_NS

QUESTION = Question(selection=Selection(arms=("a", "b")))
# Each of a trace's tokens together, and its cost, however many spans it has.
MOST_TOKENS, MOST_USD = 10**10, 10_000


def spans_of(trace: str, count: int, *, failed: bool = False, **fields: Any) -> list[dict[str, Any]]:
    """Return a trace of model calls as large as can be; failed ones take the longer way through derivation."""
    numbers = {
        **dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "retry_count"), MAX_COUNT),
        "reported_cost_nano_usd": MAX_COST_NANO_USD,
        "duration_ns": MAX_DURATION_NS,
        "user_id": "one of all",
        **fields,
    }
    status = "error" if failed else "ok"
    return [
        {"trace_id": trace, "span_id": f"{number:04}", "kind": "llm", "model": trace[0], "status": status, **numbers}
        for number in range(count)
    ]


def test_one_group_of_traces_at_the_limits_has_an_answer(tmp_path: Path) -> None:
    traces = [(f"{model}{number}", 11) for model in "ab" for number in range(150)]
    write_spans(tmp_path, [span for trace, count in traces for span in spans_of(trace, count, retry_count=None)])

    rows = compare(Store(tmp_path), QUESTION).answer.overall.metrics

    assert row_of(rows, "input_tokens").base.value == MOST_TOKENS
    assert row_of(rows, "output_tokens").candidate.value == MOST_TOKENS
    assert row_of(rows, "cost_per_trace").base.value == MOST_USD


@pytest.mark.parametrize("tokens", [6 * 10**12, 2**62])
def test_numbers_that_are_stored_beyond_the_limits_have_an_answer(tmp_path: Path, tokens: int) -> None:
    write_spans(tmp_path, [*spans_of("a1", 1, input_tokens=tokens), *spans_of("b1", 1, reported_cost_nano_usd=2**62)])

    rows = compare(Store(tmp_path), QUESTION).answer.overall.metrics

    assert row_of(rows, "input_tokens").base.value == MOST_TOKENS
    assert row_of(rows, "cost_per_trace").candidate.value == MOST_USD


@pytest.mark.parametrize("failed", [False, True])
def test_a_trace_of_a_thousand_calls_of_a_hundred_days_has_an_answer(tmp_path: Path, *, failed: bool) -> None:
    write_spans(tmp_path, [*spans_of("a1", 1_000, failed=failed), *spans_of("b1", 1)])
    store = Store(tmp_path)

    answer = compare(store, QUESTION).answer
    with store.session() as session:
        facts = {row["trace_id"]: row["llm_duration_ns"] for row in session.rows("live_facts_v1")}
    places = compare_trajectories(store, QUESTION).places

    assert answer.overall.traces.base == 1
    assert facts["a1"] == 9 * 10**18
    assert places
