from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.question import Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import explain_trace, list_traces
from tracecanary.schema import InvalidQuestionError, UnknownTraceError

S = 1_000_000_000
T1, T2 = "1" * 32, "2" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    agent = {"trace_id": T1, "span_id": "a", "kind": "agent", "duration_ns": 9 * S, "input_tokens": 30}
    write_spans(
        tmp_path,
        [
            {**agent, "start_unix_ns": S, "cohort": "shop"},
            {
                "trace_id": T1,
                "span_id": "b",
                "parent_span_id": "a",
                "kind": "llm",
                "model": "base",
                "start_unix_ns": 2 * S,
                "duration_ns": S,
                "status": "error",
                "error_class": "timeout",
                "input_tokens": 10,
            },
            {
                "trace_id": T1,
                "span_id": "c",
                "parent_span_id": "a",
                "kind": "llm",
                "model": "base",
                "start_unix_ns": 4 * S,
                "input_tokens": 20,
                "reported_cost_nano_usd": 5 * S,
            },
            {"trace_id": T2, "span_id": "a", "kind": "llm", "model": "candidate", "start_unix_ns": 5 * S},
        ],
    )
    write_evaluations(tmp_path, [{"trace_id": T2, "name": "reward", "passed": False, "time_unix_ns": 6 * S}])
    return Store(tmp_path)


def test_traces_are_listed_newest_first_with_their_facts(store: Store) -> None:
    rows = list_traces(store, Selection(), url_template="https://jaeger/trace/{trace_id}")

    assert [(row.trace_id, row.arm, row.cohort) for row in rows] == [
        (T2, "candidate", "(none)"),
        (T1, "base", "shop"),
    ]
    assert rows[1].link == f"https://jaeger/trace/{T1}"
    assert (rows[1].latency, rows[1].latency_source, rows[1].input_tokens, rows[1].retries) == (9.0, "root", 30, 1)
    assert (rows[1].cost_usd, rows[1].error_class, rows[0].failed_by) == (None, "timeout", ["reward"])


@pytest.mark.parametrize(
    ("state", "expected"),
    [("failed", [T2]), ("retried", [T1]), ("error", []), ("thumbs_down", []), ("any", [T2, T1])],
)
def test_traces_of_a_state_alone(store: Store, state: str, expected: list[str]) -> None:
    assert [row.trace_id for row in list_traces(store, Selection(), state=state)] == expected


def test_traces_of_an_arm_in_a_window_up_to_a_limit(store: Store) -> None:
    assert [row.trace_id for row in list_traces(store, Selection(arms=("base",)))] == [T1]
    assert [row.trace_id for row in list_traces(store, Selection(), most=1)] == [T2]
    late = Selection(from_time=datetime.fromtimestamp(5, UTC))
    assert [row.trace_id for row in list_traces(store, late)] == [T2]


@pytest.mark.parametrize(("state", "most", "parameter"), [("bad", 5, "state"), ("any", 0, "limit")])
def test_traces_refuse_what_is_no_list(store: Store, state: str, most: int, parameter: str) -> None:
    with pytest.raises(InvalidQuestionError) as caught:
        list_traces(store, Selection(), state=state, most=most)

    assert caught.value.parameter == parameter


def test_a_trace_shows_which_spans_count_and_what_resends_what(store: Store) -> None:
    answer = explain_trace(store, T1)

    assert [(span.span_id, span.counted, span.call_id, span.resends) for span in answer.spans] == [
        ("a", False, None, None),
        ("b", True, "b", None),
        ("c", True, "b", "retry"),
    ]
    assert answer.spans[2].cost_usd == 5.0
    assert answer.facts is not None
    assert (answer.facts["input_tokens"], answer.facts["is_usage_incomplete"]) == (30, False)
    assert answer.evaluations == []
    assert [one.passed for one in explain_trace(store, T2).evaluations] == [False]


def test_a_trace_that_nobody_stored_is_an_error_with_a_remedy(store: Store) -> None:
    with pytest.raises(UnknownTraceError, match="as /traces lists them"):
        explain_trace(store, "3" * 32)
