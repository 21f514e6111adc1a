"""Evaluators as they run: any callable, under a name and a version, for some kinds of spans. Pure but for the call."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tracecanary.collector.coercion import MAX_WORD_LENGTH, storable_text
from tracecanary.collector.evaluations import (
    DEFAULT_VERSION,
    MAX_EXPLANATION_LENGTH,
    MAX_NAME_LENGTH,
    Evaluation,
    Source,
)
from tracecanary.collector.evaluators.judged import EvaluationResult, Judge, JudgedSpan, Verdict
from tracecanary.schema import ConfigurationError

KINDS = ("llm", "embedding", "agent", "chain", "tool", "retriever", "guardrail", "other")
_SOURCES = ("code", "llm", "human")
_MAX_RESULTS = 64


class InvalidResultError(ValueError):
    """An evaluator answered what is no verdict."""


# Compared by identity: a callable need not be hashable.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluator:
    """A callable under a name: what a plain function can't say about itself.

    Attributes:
        judge: Called with a `JudgedSpan`, on a thread of its own.
        name: Name of the evaluation.
        version: Its version: results of two versions are never mixed.
        source: What judges: code, or llm if it asks a model.
        kinds: Kinds of spans it judges.
        sample_rate: Fraction of traces judged, 0..1. Default: the settings'.
        time_limit_s: Longest time for one span. Default: the settings'.
    """

    judge: Judge
    name: str
    version: str = DEFAULT_VERSION
    source: Source = "code"
    kinds: tuple[str, ...] = ("llm",)
    sample_rate: float | None = None
    time_limit_s: float | None = None

    def __call__(self, judged: JudgedSpan) -> Verdict:
        """Judge a span."""
        return self.judge(judged)


def bound_evaluators(given: Sequence[Judge]) -> tuple[Evaluator, ...]:
    """Return `given` as evaluators; of other callables, attributes of `Evaluator`'s names are taken over.

    Raises:
        ConfigurationError: One is no evaluator, or can't work; it lists every problem.
    """
    problems: list[str] = []
    bound = [evaluator for judge in given if (evaluator := _bound(judge, problems)) is not None]
    keys = [(evaluator.name, evaluator.version) for evaluator in bound]
    problems += [
        f"two evaluators are called {name!r}, version {version!r}: the results of one would replace the other's"
        for name, version in dict.fromkeys(key for key in keys if keys.count(key) > 1)
    ]
    if problems:
        raise ConfigurationError(problems)
    return tuple(bound)


def evaluations_of(verdict: object, evaluator: Evaluator) -> list[Evaluation]:
    """Return what `evaluator` said, as evaluations; none if there was nothing to judge.

    Raises:
        InvalidResultError: It is no verdict.
    """
    if verdict is None:
        return []
    results = verdict if isinstance(verdict, list | tuple) else [verdict]
    return [_evaluation(_result(result), evaluator) for result in results[:_MAX_RESULTS] if result is not None]


def _bound(judge: Judge, problems: list[str]) -> Evaluator | None:
    if not callable(judge):
        problems.append(f"the evaluator {judge!r} can't be called")
        return None
    name: Any = getattr(judge, "name", None) or getattr(judge, "__name__", "")
    evaluator = (
        judge
        if isinstance(judge, Evaluator)
        else Evaluator(
            judge=judge,
            name=name,
            version=getattr(judge, "version", DEFAULT_VERSION),
            source=getattr(judge, "source", "code"),
            kinds=tuple(getattr(judge, "kinds", ("llm",))),
            sample_rate=getattr(judge, "sample_rate", None),
            time_limit_s=getattr(judge, "time_limit_s", None),
        )
    )
    found = list(_problems(evaluator))
    problems += found
    return None if found else evaluator


def _problems(evaluator: Evaluator) -> list[str]:
    name: object = evaluator.name
    version: object = evaluator.version
    problems = []
    if not isinstance(name, str) or not name or name == "<lambda>" or len(name) > MAX_NAME_LENGTH:
        problems.append(f"an evaluator is called {name!r}: give it a name, Evaluator(judge, name=...)")
    if not isinstance(version, str) or not version:
        problems.append(f"the version of {name} is {version!r}, but must be text")
    if inspect.iscoroutinefunction(evaluator.judge):
        problems.append(f"{name} is async, but must be a plain function: call asyncio.run in it")
    if evaluator.source not in _SOURCES:
        problems.append(f"the source of {name} is {evaluator.source!r}, but must be code, llm or human")
    unknown = [kind for kind in evaluator.kinds if kind not in KINDS]
    if unknown or not evaluator.kinds:
        problems.append(f"the kinds of {name} are {evaluator.kinds!r}, but must be some of {', '.join(KINDS)}")
    if evaluator.sample_rate is not None and not 0 <= evaluator.sample_rate <= 1:
        problems.append(f"the sample_rate of {name} is {evaluator.sample_rate!r}, but must be from 0 to 1")
    if evaluator.time_limit_s is not None and not 0 < evaluator.time_limit_s < math.inf:
        problems.append(f"the time_limit_s of {name} is {evaluator.time_limit_s!r}, but must be greater than 0")
    return problems


def _result(verdict: object) -> EvaluationResult:
    if isinstance(verdict, EvaluationResult):
        return replace(verdict, score=_plain(verdict.score), passed=_plain(verdict.passed))
    verdict = _plain(verdict)
    if isinstance(verdict, bool):
        return EvaluationResult(passed=verdict)
    if isinstance(verdict, int | float):
        return EvaluationResult(score=verdict)
    if isinstance(verdict, str) and verdict:
        return EvaluationResult(label=verdict)
    raise InvalidResultError(f"a {type(verdict).__name__} is no verdict")


def _plain(value: Any) -> Any:
    """Return a scalar of NumPy and the like, such as the result of a comparison, as Python's own."""
    is_foreign = not isinstance(value, bool | int | float | str) and hasattr(value, "item")
    return value.item() if is_foreign else value


def _evaluation(result: EvaluationResult, evaluator: Evaluator) -> Evaluation:
    # Typed, but made by somebody else's code.
    score: object = result.score
    label: object = result.label
    passed: object = result.passed
    if score is not None and not (isinstance(score, int | float) and math.isfinite(score)):
        raise InvalidResultError(f"the score {score!r} is not finite")
    if label is not None and not (isinstance(label, str) and 0 < len(label) <= MAX_WORD_LENGTH):
        raise InvalidResultError(f"a label must be text of 1 to {MAX_WORD_LENGTH} characters")
    if passed is None and isinstance(score, bool):
        passed = score
    if passed is None and score is None and label is None:
        raise InvalidResultError("the result says nothing: give passed, score or label")
    if not (passed is None or isinstance(passed, bool)):
        raise InvalidResultError("passed must be True, False or None")
    source = result.source or evaluator.source
    return Evaluation(
        name=storable_text(str(result.name or evaluator.name))[:MAX_NAME_LENGTH],
        version=storable_text(str(result.version or evaluator.version))[:MAX_NAME_LENGTH],
        score=None if score is None else float(score),
        label=None if label is None else storable_text(label),
        passed=passed,
        explanation=None
        if result.explanation is None
        else storable_text(str(result.explanation))[:MAX_EXPLANATION_LENGTH],
        source=source if source in _SOURCES else "code",
    )
