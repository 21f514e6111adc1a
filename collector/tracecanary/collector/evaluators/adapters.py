"""Results of other evaluation libraries as ours. By their documented fields, so that none of them is imported.

FutureAGI's `fi.evals`: `EvalResult` of `evaluate()` (eval_name, score, passed, reason, status) and of `Evaluator`
(name, output, reason), `BatchResult` and `BatchRunResult`. OpenInference: `Score` of `phoenix.evals` (name, score,
label, explanation, kind), and mappings of the same keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from tracecanary.collector.coercion import MAX_WORD_LENGTH, to_float
from tracecanary.collector.conventions.evaluation import SOURCES
from tracecanary.collector.evaluators.bound import Evaluator
from tracecanary.collector.evaluators.judged import EvaluationResult, JudgedSpan
from tracecanary.collector.passing import FAILING_LABELS, PASSING_LABELS, normalised_label

# What a batch of results keeps them in.
_BATCHES: Final = ("eval_results", "results")
_FAILED_STATUSES: Final = frozenset({"failed", "error", "errored", "cancelled", "timeout"})
_LONGEST_REASON: Final = 10_000

Adapt = Callable[[Any], list[EvaluationResult]]


def from_fi_evals(result: Any) -> list[EvaluationResult]:
    """Return FutureAGI's result, or batch of results, as ours; one that failed is left out.

    The verdict is the library's own: `evaluate()` takes a score of 0.5 or more for passed unless its evaluator decides.
    """
    return [adapted for one in _each(result) if (adapted := _from_fi(one)) is not None]


def from_openinference(result: Any) -> list[EvaluationResult]:
    """Return a `Score` of `phoenix.evals`, a list of them, or mappings with their keys, as ours.

    A `Score` says in which direction it is better, but not what is good enough: without a label that is known, or a
    threshold in the configuration, it stays unscored.
    """
    return [adapted for one in _each(result) if (adapted := _from_score(one)) is not None]


def fi_evaluator(
    evaluate: Callable[[JudgedSpan], Any], *, name: str, version: str = "1", source: str = "llm", **options: Any
) -> Evaluator:
    """Return an evaluator that calls FutureAGI; a single result is kept under `name`, several under their own.

    For instance `fi_evaluator(lambda judged: evaluate("toxicity", output=judged.output_text), name="toxicity")`.
    """
    return _adapting(evaluate, from_fi_evals, name=name, version=version, source=source, **options)


def openinference_evaluator(
    evaluate: Callable[[JudgedSpan], Any], *, name: str, version: str = "1", source: str = "llm", **options: Any
) -> Evaluator:
    """Return an evaluator that calls one of `phoenix.evals`; names as for `fi_evaluator`.

    For instance `openinference_evaluator(lambda judged: judge.evaluate({"output": judged.output_text}), name="tone")`.
    """
    return _adapting(evaluate, from_openinference, name=name, version=version, source=source, **options)


def _adapting(evaluate: Callable[[JudgedSpan], Any], adapt: Adapt, **options: Any) -> Evaluator:
    def judge(judged: JudgedSpan) -> list[EvaluationResult]:
        results = adapt(evaluate(judged))
        return [replace(results[0], name=None)] if len(results) == 1 else results

    return Evaluator(judge=judge, **options)


def _each(result: Any) -> Iterable[Any]:
    if result is None:
        return ()
    for batch in _BATCHES:
        results = _field(result, batch)
        if isinstance(results, list | tuple):
            return [one for one in results if one is not None]
    return [one for one in result if one is not None] if isinstance(result, list | tuple) else (result,)


def _from_fi(result: Any) -> EvaluationResult | None:
    status = _field(result, "status")
    if _field(result, "error") or (isinstance(status, str) and status.lower() in _FAILED_STATUSES):
        return None
    # The two kinds of results name the same things differently.
    output = _field(result, "output", "score")
    if isinstance(output, Mapping):  # such as {"score": 0.8, "choice": "good"}
        output = next((output[key] for key in ("score", "choice", "label", "result") if key in output), None)
    if isinstance(output, list | tuple):
        output = output[0] if len(output) == 1 else None
    score, label, passed = to_float(output), None, _verdict(_field(result, "passed"))
    if isinstance(output, bool):
        score, passed = float(output), output if passed is None else passed
    elif isinstance(output, str) and score is None:
        label = _label(output)
    return _result(
        passed=passed,
        score=score,
        label=label,
        explanation=_field(result, "reason"),
        name=_field(result, "eval_name", "name"),
    )


def _from_score(score: Any) -> EvaluationResult | None:
    value, label = _field(score, "score"), _label(_field(score, "label"))
    # Only what a label says by itself: what 0.7 means is for the thresholds to say.
    kind = _field(score, "kind", "annotator_kind", "source")
    return _result(
        passed=_said(label) if not isinstance(value, bool) else value,
        score=float(value) if isinstance(value, bool) else to_float(value),
        label=label,
        explanation=_field(score, "explanation"),
        name=_field(score, "name"),
        source=SOURCES.get(kind.lower()) if isinstance(kind, str) else None,
    )


def _result(**fields: Any) -> EvaluationResult | None:
    explanation, name = fields["explanation"], fields["name"]
    fields["explanation"] = explanation[:_LONGEST_REASON] if isinstance(explanation, str) and explanation else None
    fields["name"] = name if isinstance(name, str) and name else None
    result = EvaluationResult(**fields)
    return None if result.passed is None and result.score is None and result.label is None else result


def _field(holder: Any, *names: str) -> Any:
    for name in names:
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if value is not None:
            return value
    return None


def _verdict(passed: Any) -> bool | None:
    return passed if isinstance(passed, bool) else None


def _label(label: Any) -> str | None:
    return label if isinstance(label, str) and 0 < len(label) <= MAX_WORD_LENGTH else None


def _said(label: str | None) -> bool | None:
    if label is None:
        return None
    word = normalised_label(label)
    return True if word in PASSING_LABELS else False if word in FAILING_LABELS else None
