"""Results of FutureAGI and OpenInference as ours: by their documented fields, and from the libraries themselves."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from tracecanary.collector import EvaluationResult, JudgedSpan, fi_evaluator, openinference_evaluator
from tracecanary.collector.evaluators import Message
from tracecanary.collector.evaluators.adapters import from_fi_evals, from_openinference


def answered(text: str) -> JudgedSpan:
    messages = (Message(role="assistant", text=text),)
    return JudgedSpan(trace_id="a" * 32, span_id="b" * 16, output_messages=messages)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            SimpleNamespace(
                eval_name="contains", score=1.0, passed=True, reason="found", status="completed", error=None
            ),
            [EvaluationResult(name="contains", score=1.0, passed=True, explanation="found")],
            id="result-of-evaluate",
        ),
        pytest.param(
            SimpleNamespace(
                eval_name="contains", score=None, passed=None, reason="", status="failed", error="timed out"
            ),
            [],
            id="failed",
        ),
        pytest.param(
            SimpleNamespace(
                results=[
                    SimpleNamespace(eval_name="a", score=0.2, passed=False, status="completed"),
                    SimpleNamespace(eval_name="b", score=0.9, passed=True, status="completed"),
                ]
            ),
            [EvaluationResult(name="a", score=0.2, passed=False), EvaluationResult(name="b", score=0.9, passed=True)],
            id="batch-of-evaluate",
        ),
        pytest.param(
            SimpleNamespace(eval_results=[SimpleNamespace(name="tone", output="Passed", reason="polite"), None]),
            [EvaluationResult(name="tone", label="Passed", explanation="polite")],
            id="batch-of-the-platform",
        ),
        pytest.param(
            {"name": "toxicity", "output": {"score": 0.8}}, [EvaluationResult(name="toxicity", score=0.8)], id="nested"
        ),
        pytest.param(
            {"name": "is_json", "output": True},
            [EvaluationResult(name="is_json", score=1.0, passed=True)],
            id="boolean",
        ),
        pytest.param({"name": "x", "output": None}, [], id="nothing"),
        pytest.param(None, [], id="none"),
    ],
)
def test_results_of_fi_evals(result: Any, expected: list[EvaluationResult]) -> None:
    assert from_fi_evals(result) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            [
                SimpleNamespace(
                    name="tone", score=1, label="correct", explanation="so", kind="llm", direction="maximize"
                )
            ],
            [EvaluationResult(name="tone", score=1.0, label="correct", passed=True, explanation="so", source="llm")],
            id="score",
        ),
        pytest.param(
            {"name": "length", "score": 0.7, "kind": "heuristic"},
            [EvaluationResult(name="length", score=0.7, source="code")],
            id="mapping-without-label-is-unscored",
        ),
        pytest.param(
            {"name": "tone", "label": "irrelevant"},
            [EvaluationResult(name="tone", label="irrelevant", passed=False)],
            id="failing",
        ),
        pytest.param({"name": "tone", "explanation": "?"}, [], id="nothing"),
    ],
)
def test_scores_of_openinference(result: Any, expected: list[EvaluationResult]) -> None:
    assert from_openinference(result) == expected


def test_fi_evals_judges_as_an_evaluator() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evals = pytest.importorskip("fi.evals", reason="ai-evaluation is not installed")
        evaluator = fi_evaluator(
            lambda judged: evals.evaluate("contains", output=judged.output_text, keyword="Paris"), name="names_the_city"
        )
        results = [evaluator(answered(text)) for text in ("It is sunny in Paris.", "It is sunny.")]

    assert [[(one.name, one.score, one.passed) for one in result] for result in results] == [  # type: ignore[union-attr]
        [(None, 1.0, True)],
        [(None, 0.0, False)],
    ]


def test_phoenix_evals_judges_as_an_evaluator() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evals = pytest.importorskip("phoenix.evals", reason="arize-phoenix-evals is not installed")

        @evals.create_evaluator(name="names_the_city", kind="code")  # type: ignore[untyped-decorator, unused-ignore]
        def names_the_city(output: str) -> bool:
            return "Paris" in output

        evaluator = openinference_evaluator(
            lambda judged: names_the_city.evaluate({"output": judged.output_text}), name="names_the_city"
        )
        results = [evaluator(answered(text)) for text in ("It is sunny in Paris.", "It is sunny.")]

    assert [[(one.name, one.score, one.source) for one in result] for result in results] == [  # type: ignore[union-attr]
        [(None, 1.0, "code")],
        [(None, 0.0, "code")],
    ]
