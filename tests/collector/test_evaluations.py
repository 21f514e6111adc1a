from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.collector.evaluations import Evaluation, evaluation_row, read_evaluations
from tracecanary.collector.passing import derive_passed
from tracecanary.collector.rules import EvaluatorRule
from tracecanary.schema import EVALUATION_COLUMNS

OTEL = {"gen_ai.evaluation.name": "helpfulness", "gen_ai.evaluation.score.value": 0.9}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param(
            {**OTEL, "gen_ai.evaluation.score.label": "pass", "gen_ai.response.id": "r1"},
            Evaluation(name="helpfulness", score=0.9, label="pass", passed=True, response_id="r1"),
            id="opentelemetry",
        ),
        pytest.param(
            {**OTEL, "gen_ai.evaluation.score.value": "0.25"},
            Evaluation(name="helpfulness", score=0.25),
            id="score-as-text-stays-unscored-without-a-threshold",
        ),
        pytest.param(
            {**OTEL, "gen_ai.evaluation.score.value": "Failed"},
            Evaluation(name="helpfulness", label="Failed", passed=False),
            id="verdict-in-place-of-a-number",
        ),
        pytest.param(
            {**OTEL, "gen_ai.evaluation.score.value": False},
            Evaluation(name="helpfulness", score=0.0, passed=False),
            id="boolean-score",
        ),
        pytest.param(
            {
                **OTEL,
                "gen_ai.evaluation.passed": False,
                "gen_ai.evaluation.version": "2026-05",
                "gen_ai.evaluation.source": "llm",
                "gen_ai.evaluation.explanation": "too short",
            },
            Evaluation(
                name="helpfulness", version="2026-05", score=0.9, passed=False, source="llm", explanation="too short"
            ),
            id="our-own-attributes",
        ),
        pytest.param(
            {**OTEL, "gen_ai.evaluation.target_span_id": "1787DDE82766234C"},
            Evaluation(name="helpfulness", score=0.9, judged_span_id="1787dde82766234c"),
            id="traceai-target-span",
        ),
        pytest.param(
            {
                "evaluations.0.evaluation.name": "correctness",
                "evaluations.0.evaluation.score": 0.0,
                "evaluations.0.evaluation.label": "incorrect",
                "evaluations.0.evaluation.annotator_kind": "LLM",
                "evaluations.0.evaluation.identifier": "v7",
            },
            Evaluation(name="correctness", version="v7", score=0.0, label="incorrect", passed=False, source="llm"),
            id="openinference",
        ),
        pytest.param(
            {
                "trace.annotations.3.annotation.name": "resolved",
                "trace.annotations.3.annotation.label": "yes",
                "trace.annotations.3.annotation.annotator_kind": "HUMAN",
                "trace.annotations.3.annotation.identifier": "ann@example.com",
            },
            Evaluation(name="resolved", label="yes", passed=True, source="human", judges_trace=True),
            id="openinference-a-person-is-no-version",
        ),
        pytest.param(
            {
                "gen_ai.span.kind": "EVALUATOR",
                "gen_ai.evaluation.name": "relevance",
                "gen_ai.evaluation.score.value": 0.85,
                "gen_ai.evaluation.explanation": "Good match",
                "eval.relevance.latency_ms": 0.39,
                "eval.evaluated_at": 1795474631.6,
            },
            Evaluation(name="relevance", score=0.85, explanation="Good match"),
            id="fi-evals-1.1-as-it-was-run",
        ),
        pytest.param(
            {
                "openinference.span.kind": "EVALUATOR",
                "output.value": '[{"name": "names_city", "score": 1.0, "label": "True", "metadata": {}, '
                '"kind": "code", "direction": "maximize"}]',
            },
            Evaluation(name="names_city", score=1.0, label="True", passed=True),
            id="phoenix-evals-3.9-as-it-was-run",
        ),
        pytest.param(
            {"eval.toxicity": 0.7, "eval.toxicity.reason": "insult", "eval.evaluator_version": "3"},
            Evaluation(name="toxicity", version="3", score=0.7, explanation="insult"),
            id="fi-evals-before-gen-ai-names",
        ),
        pytest.param(
            {"gen_ai.guardrail.name": "pii", "gen_ai.guardrail.result": "block", "gen_ai.guardrail.score": 0.99},
            Evaluation(name="pii", score=0.99, label="block", passed=False),
            id="traceai-guardrail",
        ),
        pytest.param(
            {"gen_ai.guardrail.result": "warn"},
            Evaluation(name="guardrail", label="warn"),
            id="traceai-guardrail-that-only-warns",
        ),
        pytest.param(
            {
                "openinference.span.kind": "EVALUATOR",
                "output.value": '[{"name": "relevance", "score": 1, "label": "relevant", "kind": "llm"}]',
            },
            Evaluation(name="relevance", score=1.0, label="relevant", passed=True, source="llm"),
            id="phoenix-evaluator-span",
        ),
        pytest.param(
            {"gen_ai.evaluation.name": "user_feedback", "gen_ai.evaluation.score.value": -1},
            Evaluation(name="thumbs", score=-1.0, passed=False, source="human"),
            id="user-feedback-is-thumbs",
        ),
        pytest.param(
            {"gen_ai.evaluation.name": "user_feedback", "gen_ai.evaluation.score.value": 4},
            Evaluation(name="user_feedback", score=4.0, source="human"),
            id="user-feedback-with-stars-is-no-thumb",
        ),
    ],
)
def test_evaluation_is_read_from(attributes: dict[str, Any], expected: Evaluation) -> None:
    assert read_evaluations(attributes) == [expected]


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"gen_ai.evaluation.name": "helpfulness"}, id="a-name-alone"),
        pytest.param({"gen_ai.evaluation.name": "helpfulness", "error.type": "timeout"}, id="evaluator-failed"),
        pytest.param({"gen_ai.evaluation.score.value": 0.5}, id="no-name"),
        pytest.param({**OTEL, "gen_ai.evaluation.score.value": float("nan")}, id="not-a-number"),
        pytest.param({"eval.loss": 0.4}, id="an-attribute-of-the-application"),
        pytest.param({"evaluations.0.evaluation.name": "x"}, id="openinference-without-result"),
        pytest.param({"openinference.span.kind": "LLM", "output.value": '[{"score": 1}]'}, id="output-of-a-model"),
        pytest.param({"openinference.span.kind": "EVALUATOR", "output.value": "fine"}, id="output-is-text"),
    ],
)
def test_no_evaluation_is_read_from(attributes: dict[str, Any]) -> None:
    assert read_evaluations(attributes) == []


def test_every_indexed_evaluation_is_read() -> None:
    attributes = {
        f"evaluations.{index}.evaluation.{field}": value
        for index, score in ((0, 0.1), (12, 0.2))
        for field, value in (("name", f"e{index}"), ("score", score))
    }

    assert [(one.name, one.score) for one in read_evaluations(attributes)] == [("e0", 0.1), ("e12", 0.2)]


@pytest.mark.parametrize(
    ("given", "rule", "passed"),
    [
        pytest.param({"score": 0.5}, None, None, id="score-without-threshold"),
        pytest.param({"score": 0.5}, EvaluatorRule(pass_at_least=0.5), True, id="at-least-is-inclusive"),
        pytest.param({"score": 0.49}, EvaluatorRule(pass_at_least=0.5), False, id="below"),
        pytest.param({"score": 0.2}, EvaluatorRule(pass_at_most=0.2), True, id="less-is-better"),
        pytest.param({"score": 0.3}, EvaluatorRule(pass_at_least=0.1, pass_at_most=0.2), False, id="outside-a-band"),
        pytest.param({"label": "Not Relevant"}, None, False, id="case-and-spaces-do-not-matter"),
        pytest.param({"label": "PASS", "score": 0.0}, EvaluatorRule(pass_at_least=0.5), True, id="label-before-score"),
        pytest.param(
            {"label": "meh", "score": 0.6}, EvaluatorRule(pass_at_least=0.5), True, id="unknown-label-says-nothing"
        ),
        pytest.param({"label": "B"}, EvaluatorRule(passing_labels=frozenset({"a", "b"})), True, id="passing-label"),
        pytest.param(
            {"label": "c"}, EvaluatorRule(passing_labels=frozenset({"a", "b"})), False, id="any-other-label-fails"
        ),
        pytest.param({"passed": True, "label": "fail"}, None, True, id="own-verdict-stays"),
        pytest.param({"score": True}, EvaluatorRule(pass_at_least=2), True, id="boolean-is-a-verdict"),
        pytest.param({}, EvaluatorRule(pass_at_least=0.5), None, id="nothing-is-never-failed"),
    ],
)
def test_passed_is_derived(given: dict[str, Any], rule: EvaluatorRule | None, passed: bool | None) -> None:
    assert derive_passed(**given, rule=rule) is passed


def test_rule_of_another_evaluator_does_not_count() -> None:
    rules = {"helpfulness": EvaluatorRule(pass_at_least=0.95)}

    assert [one.passed for one in read_evaluations(OTEL, rules=rules)] == [False]
    assert [one.passed for one in read_evaluations({**OTEL, "gen_ai.evaluation.name": "tone"}, rules=rules)] == [None]


def test_explanation_is_content_and_stored_only_when_wanted() -> None:
    evaluation = Evaluation(name="tone", passed=False, explanation="they said ...", judged_span_id="b" * 16)

    rows = [
        evaluation_row(
            evaluation, trace_id="a" * 32, span_id="c" * 16, time_ns=5, received_ns=6, keeps_explanation=keeps
        )
        for keeps in (False, True)
    ]

    names = [column.name for column in EVALUATION_COLUMNS]
    assert [dict(zip(names, row, strict=True))["explanation"] for row in rows] == [None, "they said ..."]
    assert dict(zip(names, rows[0], strict=True)) == {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "name": "tone",
        "version": "1",
        "score": None,
        "label": None,
        "passed": False,
        "explanation": None,
        "source": "code",
        "time_unix_ns": 5,
        "received_unix_ns": 6,
        "response_id": None,
    }


NAMES = st.sampled_from(
    [
        *OTEL,
        "gen_ai.evaluation.score.label",
        "gen_ai.evaluation.passed",
        "gen_ai.evaluation.version",
        "gen_ai.evaluation.source",
        "gen_ai.evaluation.target_span_id",
        "gen_ai.guardrail.result",
        "evaluations.0.evaluation.name",
        "evaluations.0.evaluation.score",
        "eval.x",
        "eval.x.reason",
        "openinference.span.kind",
        "output.value",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just("EVALUATOR"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(NAMES | st.text(), VALUES))
def test_whatever_attributes_hold_gives_storable_evaluations(attributes: dict[str, Any]) -> None:
    for evaluation in read_evaluations(attributes):
        assert evaluation.name
        assert evaluation.version
        assert evaluation.score is None or evaluation.score == evaluation.score  # no NaN
        assert (evaluation.score, evaluation.label, evaluation.passed) != (None, None, None)
        for text in (evaluation.name, evaluation.version, evaluation.label or "", evaluation.explanation or ""):
            text.encode("utf-8")
