from pathlib import Path
from typing import Any

import pytest
from statsmodels.stats.proportion import confint_proportions_2indep
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.trajectory import (
    PlaceRow,
    ToolDifference,
    compare_trajectories,
    first_differences,
    rate_difference,
)
from tracecanary.schema import InvalidQuestionError, UnknownArmError

QUESTION = Question(selection=Selection(arms=("base", "candidate")))


def trace(name: str, model: str, *tools: tuple[str, str, str], pair: str | None = None) -> list[dict[str, Any]]:
    """Return a model call, then tool calls (tool, arguments, status), 10 ns apart."""
    spans: list[dict[str, Any]] = [{"kind": "llm", "model": model, "agent_name": "support", "input_tokens": 100}]
    spans += [
        {"kind": "tool", "tool_name": tool, "tool_arguments_hash": arguments, "status": status}
        for tool, arguments, status in tools
    ]
    return [
        {
            "trace_id": name,
            "span_id": f"{place}",
            "start_unix_ns": 10 * place,
            "duration_ns": 5,
            "pair_id": pair,
            **span,
        }
        for place, span in enumerate(spans, start=1)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    search, book = ("search", "x", "unset"), ("book", "y", "unset")
    write_spans(
        tmp_path,
        [
            *trace("b1", "base", search, book, pair="p1"),
            *trace("b2", "base", search, book, pair="p2"),
            *trace("c1", "candidate", search, ("search", "x", "unset"), ("book", "y", "error"), pair="p1"),
            *trace("c2", "candidate", search, book, pair="p2"),
            *trace("c3", "candidate", ("book", "z", "error"), pair="p3"),
        ],
    )
    write_evaluations(
        tmp_path, [{"trace_id": trace_id, "name": "reward", "passed": False} for trace_id in ("b2", "c1", "c3")]
    )
    return Store(tmp_path)


def place(rows: list[PlaceRow], dimension: str, name: str) -> PlaceRow:
    return next(row for row in rows if (row.dimension, row.place, row.cohort) == (dimension, name, None))


def test_what_nothing_would_show_is_null(store: Store) -> None:
    rows = compare_trajectories(store, QUESTION).places

    calls, search = place(rows, "kind", "llm"), place(rows, "tool", "search")
    assert (calls.base.retries, calls.base.repeated_calls, search.base.retries) == (None, None, None)


def test_first_problem_of_failed_traces_is_placed_by_step_and_tool(store: Store) -> None:
    rows = compare_trajectories(store, QUESTION).places

    # c1 repeats its search before booking fails; c3 fails at booking at once; b2 fails without a problem on its way.
    search, book = place(rows, "tool", "search"), place(rows, "tool", "book")
    assert (search.candidate.first_problems, search.candidate.repeated_calls) == (1, 1)
    assert (book.candidate.first_problems, book.candidate.errors, book.candidate.calls) == (1, 2, 3)
    assert (book.candidate.failed_traces, book.candidate.first_problem_share) == (2, 0.5)
    assert (book.base.first_problems, book.base.first_problem_share) == (0, 0.0)
    steps = [row for row in rows if row.dimension == "step" and row.cohort is None]
    assert [(row.place, row.step_source, row.candidate.first_problems) for row in steps] == [
        ("1", "derived", 0),
        ("2", "derived", 1),
        ("3", "derived", 1),
        ("4", "derived", 0),
    ]


def test_places_have_means_per_call_and_an_interval(store: Store) -> None:
    call = place(compare_trajectories(store, QUESTION).places, "kind", "llm")

    assert (call.base.calls, call.base.input_tokens, call.base.latency, call.base.cost_usd) == (2, 100.0, 5e-9, None)
    assert call.effect == 0.0
    assert call.ci_low is not None
    assert call.ci_high is not None
    assert call.ci_low < 0 < call.ci_high


def test_a_failed_evaluation_of_a_span_is_a_problem_there(store: Store, tmp_path: Path) -> None:
    write_evaluations(tmp_path, [{"trace_id": "b2", "span_id": "2", "name": "tool_choice", "passed": False}])

    search = place(compare_trajectories(store, QUESTION).places, "tool", "search")

    assert search.base.first_problems == 1


def test_pairs_show_the_first_tool_call_that_differs(store: Store) -> None:
    answer = compare_trajectories(store, QUESTION)

    assert (answer.pairs, answer.same_tools) == (2, 1)
    assert answer.first_differences == [ToolDifference(position=2, base_tool="book", candidate_tool="search", pairs=1)]


def test_numbered_steps_hold_for_the_spans_that_follow(tmp_path: Path) -> None:
    spans = trace("b1", "base", ("search", "x", "unset"), ("search", "y", "unset"))
    spans[0] |= {"step": 7, "step_source": "attribute"}
    spans[2] |= {"step": 8, "step_source": "attribute"}
    write_spans(tmp_path, [*spans, *trace("c1", "candidate")])

    rows = compare_trajectories(Store(tmp_path), QUESTION).places

    assert [
        (row.place, row.step_source, row.base.calls) for row in rows if row.dimension == "step" and not row.cohort
    ] == [
        ("1", "derived", 0),
        ("7", "attribute", 2),
        ("8", "attribute", 1),
    ]


def test_a_call_without_an_agent_is_that_of_the_nearest_agent_above(tmp_path: Path) -> None:
    call = {"trace_id": "b1", "kind": "llm", "model": "base", "start_unix_ns": 1}
    above = [
        {"trace_id": "b1", "span_id": "r", "kind": "agent", "agent_name": "planner"},
        {"trace_id": "b1", "span_id": "s", "parent_span_id": "r", "kind": "agent", "agent_name": "searcher"},
        {"trace_id": "b1", "span_id": "c", "parent_span_id": "s", "kind": "chain"},
    ]
    calls = [{**call, "span_id": f"l{parent}", "parent_span_id": parent} for parent in ("c", "r", "lost")]
    write_spans(tmp_path, [*above, *calls, *trace("c1", "candidate")])

    rows = compare_trajectories(Store(tmp_path), QUESTION).places

    agents = {row.place: row.base.calls for row in rows if row.dimension == "agent" and not row.cohort}
    assert agents == {"searcher": 1, "planner": 1, "(none)": 1, "support": 0}


def test_of_more_traces_than_are_looked_at_the_answer_says_how_many_there_are(store: Store) -> None:
    answer = compare_trajectories(store, QUESTION, most=1)

    assert answer.traces == {"base": 1, "candidate": 1}
    assert answer.of_traces == {"base": 2, "candidate": 3}


def test_shorter_sequences_differ_where_they_end() -> None:
    found = first_differences([(["a", "b"], ["a"]), (["a", "b"], ["a"]), ([], ["x"]), (["a"], ["a"])])

    assert [(one.position, one.base_tool, one.candidate_tool, one.pairs) for one in found] == [
        (2, "b", None, 2),
        (1, None, "x", 1),
    ]


@pytest.mark.parametrize(("base", "candidate"), [((5, 100), (12, 90)), ((0, 40), (3, 50))])
def test_interval_of_a_difference_equals_statsmodels(base: tuple[int, int], candidate: tuple[int, int]) -> None:
    _, low, high = rate_difference(base, candidate, confidence=0.95)

    assert (low, high) == pytest.approx(
        confint_proportions_2indep(*candidate, *base, method="newcomb", compare="diff"), abs=1e-6
    )


def test_unknown_arms_and_limits_are_refused(store: Store) -> None:
    with pytest.raises(UnknownArmError):
        compare_trajectories(store, Question(selection=Selection(arms=("base", "other"))))
    with pytest.raises(InvalidQuestionError, match="limit"):
        compare_trajectories(store, QUESTION, most=0)
